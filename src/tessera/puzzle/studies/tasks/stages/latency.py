"""Time of every token that the parent and the kept children write on this machine, in turn in one process."""

import datetime
from pathlib import Path

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.puzzle.costs.params import CostsParams
from tessera.puzzle.studies.tasks.params import TasksParams


class Params(Section):
    """The rounds, and the targets, of which the first one measured on a CPU is served."""

    tasks: TasksParams
    costs: CostsParams


def main(params: Params, parent: Path, children: list[Path], latency: Path) -> None:
    """Write percentiles of milliseconds to the first token and a decoded token, weights and KV cache, by model."""
    import torch

    from tessera.puzzle.costs import measured
    from tessera.puzzle.models import loading
    from tessera.puzzle.models.cache import cache_bytes
    from tessera.puzzle.serve.latency import latencies, percentiles
    from tessera.puzzle.serve.speed import PARENT, served

    name, target = served(params.costs)
    places = {PARENT: parent} | {path.name: path for path in children}
    models = {key: loading.load(path).requires_grad_(False) for key, path in places.items()}
    taken = latencies(
        models, target, params.tasks.repeats, lambda rounds: progress.track(rounds, "latency of parent and children")
    )
    with measured.using_threads(target.threads):
        cpu = torch.device("cpu")
        hardware, software = measured.machine(cpu), measured.software(cpu)
    workload = target.workload
    capacity = workload.prefill + workload.decode
    rows = {}
    for key, model in models.items():
        rows[key] = {
            "first_token_ms": percentiles(taken[key]["prefill"]),
            "token_ms": percentiles(taken[key]["decode"]),
            "tokens": len(taken[key]["decode"]),
            "weights_mib": sum(p.nbytes for p in model.parameters()) / 2**20,
            "kv_cache_mib": cache_bytes(model, workload.batch, capacity) / 2**20,
        }
    files.write_json(
        latency,
        {
            "target": name,
            "hardware": hardware,
            "software": software,
            "dtype": target.dtype,
            "workload": workload.model_dump(),
            "repeats": params.tasks.repeats,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "models": rows,
        },
    )


if __name__ == "__main__":
    stage.run(main)
