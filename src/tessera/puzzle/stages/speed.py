"""Measure time and memory of the parent and the kept children on this machine, and compare with the predictions."""

import datetime
from pathlib import Path

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.puzzle.costs.params import CostsParams
from tessera.puzzle.params import SpeedParams


class Params(Section):
    """The targets, of which the first measured on a CPU is served, and the repeats."""

    costs: CostsParams
    speed: SpeedParams


def main(
    params: Params,
    method: str,
    parent: Path,
    children: list[Path],
    costs: list[Path],
    choices: list[Path],
    metrics: Path,
) -> None:
    """Write time, memory and predicted time of parent and children.

    children, costs and choices have one path per target: a child's directory and a table's file are named after it, and
    so is the directory of its choices; method names the children's row in choices.
    """
    import torch

    from tessera.puzzle.child import chosen
    from tessera.puzzle.costs import child_cost, measured
    from tessera.puzzle.models import loading
    from tessera.puzzle.models.space import PARENT, compose
    from tessera.puzzle.serve import speed

    name, target = speed.served(params.costs)
    table = files.read_parquet({path.stem: path for path in costs}[name])
    places = {speed.PARENT: parent} | {path.name: path for path in children}
    # Memory first, while this process is small; a machine short of memory then says so at once.
    memory = {key: speed.peak_memory(place, target) for key, place in places.items()}
    models = {key: loading.load(place).requires_grad_(False) for key, place in places.items()}
    blocks_of = {speed.PARENT: [compose(PARENT, PARENT)] * len(models[speed.PARENT].layers)}
    blocks_of |= {path.parent.name: chosen(path, method)["blocks"] for path in choices}

    times = speed.times(
        models, target, params.speed.repeats, lambda rounds: progress.track(rounds, "speed of parent and children")
    )
    predicted = {key: child_cost(table, choice) for key, choice in blocks_of.items()}
    rows = {}
    for key, model in models.items():
        speedup = speed.speedups(times[speed.PARENT], times[key])
        foreseen = {phase: _ratio(predicted[speed.PARENT], predicted[key], phase) for phase in speed.PHASES}
        rows[key] = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "measured": speed.summary(times[key], target.workload),
            "memory": memory[key],
            "predicted": predicted[key],
            "speedup": speedup,
            "predicted_speedup": foreseen,
            "speedup_error": {
                phase: foreseen[phase] / speedup[phase] - 1 for phase in speed.PHASES if phase in speedup
            },
            "rounds": {phase: getattr(times[key], phase) for phase in ("prefill", "decode")},
        }
    with measured.using_threads(target.threads):
        cpu = torch.device("cpu")
        hardware, software = measured.machine(cpu), measured.software(cpu)
    files.write_json(
        metrics,
        {
            "target": name,
            "method": method,
            "hardware": hardware,
            "software": software,
            "dtype": target.dtype,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "workload": target.workload.model_dump(),
            "repeats": params.speed.repeats,
            "models": rows,
        },
    )


def _ratio(parent: dict[str, float], child: dict[str, float], phase: str) -> float:
    return parent[f"{phase}_ms"] / child[f"{phase}_ms"]


if __name__ == "__main__":
    stage.run(main)
