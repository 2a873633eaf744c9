"""Time of every token that the parent and the kept children write on this machine, in turn in one process."""

from pathlib import Path

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.puzzle.costs.params import CostsParams
from tessera.puzzle.params import ComputeParams
from tessera.puzzle.studies.tasks.params import TasksParams


class Params(Section):
    """The rounds; the targets, of which the first measured one is served; the device that serves if there is none."""

    tasks: TasksParams
    costs: CostsParams
    compute: ComputeParams


def main(params: Params, parent: Path, children: list[Path], latency: Path) -> None:
    """Write percentiles of milliseconds to the first token and a decoded token, weights and KV cache, by model."""
    from tessera.puzzle.models.cache import cache_bytes
    from tessera.puzzle.serve import speed
    from tessera.puzzle.serve.latency import latencies, percentiles

    places = {speed.PARENT: parent} | {path.name: path for path in children}
    name, target = speed.served(params.costs, params.compute)
    if not params.costs.measured:
        target = speed.fitted(places.values(), target)
    models = {key: speed.load(path, target) for key, path in places.items()}
    taken = latencies(
        models, target, params.tasks.repeats, lambda rounds: progress.track(rounds, "latency of parent and children")
    )
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
    about = speed.about(target, params.tasks.repeats)
    files.write_json(latency, {"target": name} | about | {"models": rows})


if __name__ == "__main__":
    stage.run(main)
