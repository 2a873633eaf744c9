"""Healings by several processes, for test_parallel.py: torchrun healing_worker.py JOBS.json.

Jobs are JSON: parent, library, space, choice, tokens, mask (or null), params, checkpoint (or null), die_before (a step,
or null), cache (or null) and out, where the first process writes the curve and the child's weights.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from tessera.common import files
from tessera.puzzle import child
from tessera.puzzle.heal import parallel, train
from tessera.puzzle.models import loading
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import HealParams


class KilledError(Exception):
    """The end of a healing that is to be resumed."""


def dies_before(step):
    """Progress that ends in death before a step, or never."""

    def track(steps):
        for i in steps:
            if i == step:
                raise KilledError
            yield i

    return track


def work(job, group=parallel.Group()):  # noqa: B008
    """Do one job."""
    params = HealParams.model_validate(job["params"])
    teacher = loading.load(job["parent"]).requires_grad_(False)
    space = Space.model_validate(job["space"])
    model = child.assemble(teacher, space, [Path(part) for part in job["library"]], job["choice"])
    saved = train.Checkpoint(Path(job["checkpoint"]), {"name": "worker"}) if job["checkpoint"] else None
    tokens, generator = torch.tensor(job["tokens"]), torch.Generator().manual_seed(0)
    cache = Path(job["cache"]) if job["cache"] else None
    mask = None if job["mask"] is None else torch.tensor(job["mask"])
    dying = dies_before(job["die_before"])
    try:
        curve = train.heal(
            teacher, model, tokens, params, params.equal, generator, saved, dying, cache, group, mask=mask
        )
    except KilledError:
        return
    if group.rank == 0:
        files.save_tensors(job["out"], dict(model.network.named_parameters()), {"curve": json.dumps(asdict(curve))})


if __name__ == "__main__":
    torch.set_num_threads(1)
    with parallel.launched(int(os.environ["WORLD_SIZE"]), "cpu") as own:
        for one in json.loads(Path(sys.argv[1]).read_text()):
            work(one, own)
