"""Where healing computes; by two processes of torchrun it has the losses of one."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import healing_worker
import pytest
import torch
from test_heal import CHOICE, MASK, PARAMS, SCHEDULE, TOKENS

from tessera.common import files
from tessera.puzzle import child
from tessera.puzzle.heal import parallel
from tessera.puzzle.models import loading
from tessera.puzzle.params import HealParams

#: Of losses in nats, of cosine distances and of weights, between one process and two.
TOLERANCE = 1e-4
STEPS, DIES = 6, 3
HEALINGS = {
    "blocks": {"lm": 0.2},
    "replaced": {"train": "replaced", "gradient_checkpointing": True},
    "cached": {"train": "all", "teacher": "cache"},
    "cached again": {"train": "all", "teacher": "cache"},
    "resumed": {},
    "resumed from one process": {},
    "untied": {"train": "all"},
    "masked": {"lm": 0.2},
}


@pytest.fixture(scope="module")
def jobs(parent, library, variants, tmp_path_factory):
    """A job of the worker for every healing."""
    out = tmp_path_factory.mktemp("parallel")

    def job(name, model, changes):
        return {
            "parent": str(parent(model)),
            "library": [str(part) for part in library(model)],
            "space": variants.model_dump(mode="json"),
            "choice": CHOICE,
            "tokens": TOKENS.tolist(),
            "mask": MASK.tolist() if name == "masked" else None,
            "params": PARAMS
            | {"processes": 2, "checkpoint_steps": 2, "equal": SCHEDULE | {"tokens": STEPS * 24}}
            | changes,
            "checkpoint": str(out / f"{name}.checkpoint.safetensors") if "resumed" in name else None,
            "die_before": None,
            "cache": str(out / "teacher") if "cached" in name else None,
            "out": str(out / f"{name}.safetensors"),
        }

    return {n: job(n, "llama_ungrouped" if n == "untied" else "llama", changes) for n, changes in HEALINGS.items()}


def torchrun(*arguments):
    """Run two processes under torchrun; they must end well."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def healed(jobs, tmp_path_factory):
    """Curves and weights of the healings by two processes."""
    out = tmp_path_factory.mktemp("jobs")
    healing_worker.work(jobs["resumed from one process"] | {"die_before": DIES})
    killed = jobs["resumed"] | {"die_before": DIES}
    order = [killed, *jobs.values()]
    (out / "jobs.json").write_text(json.dumps(order))
    torchrun(str(Path(healing_worker.__file__)), str(out / "jobs.json"))
    return {name: read(job) for name, job in jobs.items()}


def read(job):
    """Curve and weights of a job that was done."""
    return json.loads(files.tensor_metadata(job["out"])["curve"]), files.load_tensors(job["out"])


def alone(job, out, **changes):
    """The same by this process alone."""
    mine = job | {"params": job["params"] | {"teacher": "recompute"}, "out": str(out / "alone.safetensors")} | changes
    healing_worker.work(mine)
    return read(mine)


def agree(one, other):
    (curve, weights), (other_curve, other_weights) = one, other
    assert curve["tokens"] == other_curve["tokens"] and len(curve["tokens"]) == STEPS
    for series in ("kl_div", "cosine", "lm_loss"):
        assert curve[series] == pytest.approx(other_curve[series], abs=TOLERANCE)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, other_weights[name], rtol=0, atol=TOLERANCE, msg=lambda m, n=name: f"{n}{m}")


@pytest.mark.parametrize("name", HEALINGS)
def test_two_processes_have_the_losses_of_one(jobs, healed, tmp_path, name):
    agree(healed[name], alone(jobs[name], tmp_path, checkpoint=None))


def test_one_process_goes_on_where_two_were_killed(jobs, healed, tmp_path):
    left = tmp_path / "checkpoint.safetensors"
    shutil.copyfile(jobs["resumed"]["checkpoint"], left)
    assert files.tensor_metadata(left)["step"] == "4"  # of the resumed run, which had begun at 2
    agree(alone(jobs["resumed"], tmp_path, checkpoint=str(left)), healed["resumed"])


def test_checkpoint_of_two_processes_is_that_of_one(jobs, healed):
    one, two = (jobs[name]["checkpoint"] for name in ("resumed from one process", "resumed"))
    first, second = files.load_tensors(one), files.load_tensors(two)
    assert {n: (t.shape, t.dtype) for n, t in first.items()} == {n: (t.shape, t.dtype) for n, t in second.items()}


def test_both_processes_keep_their_share_of_the_teacher(jobs, healed):
    kept = list(Path(jobs["cached"]["cache"]).glob("*/*.safetensors"))
    assert len(kept) == len(TOKENS)  # a process's share of a step is one window, which comes again in later epochs
    (curve, weights), (again, other) = healed["cached"], healed["cached again"]
    assert curve == again and all(torch.equal(weights[name], other[name]) for name in weights)


def test_shares_are_equal_and_whole():
    windows = torch.arange(6)
    for size in (1, 2, 3, 6):
        shares = [parallel.Group(rank, size).share(windows) for rank in range(size)]
        assert torch.equal(torch.cat(shares), windows)
        assert {len(share) for share in shares} == {6 // size}
    with pytest.raises(ValueError, match=r"batch_windows = 6 cannot be shared equally by 4 processes: expected a mul"):
        parallel.Group(0, 4).share(windows)


@pytest.mark.parametrize("schedule", ["equal", "full"])
def test_params_refuse_windows_that_cannot_be_shared(schedule):
    changed = PARAMS | {"processes": 2, schedule: PARAMS[schedule] | {"batch_windows": 3}}
    with pytest.raises(ValueError, match=rf"{schedule}\.batch_windows = 3 cannot be shared .* processes = 2; expected"):
        HealParams.model_validate(changed)


def test_number_of_processes_must_be_the_one_that_was_started(monkeypatch):
    with parallel.launched(1, "cpu") as group:
        assert group == parallel.Group(0, 1)
    with (
        pytest.raises(
            ValueError, match=r"heal\.processes = 2, but 1 started; set it to 1, or start it by .* --nproc-per-node 2"
        ),
        parallel.launched(2, "cpu"),
    ):
        pass
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ValueError, match=r"heal\.processes = 1, but 4 started"), parallel.launched(1, "cpu"):
        pass


def test_gpus_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in (("TORCHELASTIC_RUN_ID", "none"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "2")):
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(
            ValueError,
            match=r"heal\.processes = 4 with compute\.device = cuda: each needs its own GPU, and there are 2",
        ),
        parallel.launched(4, "cuda"),
    ):
        pass


@pytest.mark.parametrize("name", ["llama", "llama_ungrouped"])
def test_replica_shares_storage_and_nothing_else(parent, library, variants, name):
    teacher = loading.load(parent(name)).requires_grad_(False)
    model = child.assemble(teacher, variants, library(name), CHOICE)
    copied = parallel.replica(model)
    names = dict(model.named_parameters())
    assert names.keys() == dict(copied.named_parameters()).keys()
    assert (copied.network.lm_head.weight is copied.network.model.embed_tokens.weight) == (name == "llama")
    for key, p in copied.named_parameters():
        assert p is not names[key] and p.data_ptr() == names[key].data_ptr() and not p.requires_grad
    copied.double()  # as a move to a GPU: the model stays where it is
    assert all(p.dtype == torch.float32 for p in model.parameters())
