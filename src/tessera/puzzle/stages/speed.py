"""Measure time and memory of the parent and the kept children on this machine, and compare with the predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from tessera.common import files, progress, stage
from tessera.common.files import Json
from tessera.common.params import Section
from tessera.puzzle.costs.params import CostsParams, CostTarget
from tessera.puzzle.params import ComputeParams, SpeedParams


class Params(Section):
    """The targets, of which all measured ones are served; the device that serves if there is none; the repeats."""

    costs: CostsParams
    compute: ComputeParams
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
    """Write time, memory and predicted time of parent and children, by the name of what was served.

    children, costs and choices have one path per target: a child's directory and a table's file are named after it, and
    so is the directory of its choices; method names the children's row in choices. If no target is measured, what was
    served has no cost table, and so no prediction.
    """
    from tessera.puzzle.child import chosen
    from tessera.puzzle.serve import speed

    places = {speed.PARENT: parent} | {path.name: path for path in children}
    blocks_of = {path.parent.name: chosen(path, method)["blocks"] for path in choices}
    tables = {path.stem: path for path in costs if path.stem in params.costs.measured}
    served = {}
    for name, target in speed.servings(params.costs, params.compute).items():
        if name not in tables:
            target = speed.fitted(places.values(), target)
        models = _measure(name, target, places, params.speed.repeats)
        if name in tables:
            _predict(models, files.read_parquet(tables[name]), blocks_of)
        served[name] = speed.about(target, params.speed.repeats) | {"models": models}
    files.write_json(metrics, {"method": method, "served": served})


def _measure(name: str, target: CostTarget, places: Mapping[str, Path], repeats: int) -> dict[str, Json]:
    """Parameters, time and memory of every model on the target's hardware."""
    from tessera.puzzle.serve import speed

    # Memory first, while this process is small; a machine short of memory then says so at once.
    memory = {key: speed.peak_memory(place, target) for key, place in places.items()}
    models = {key: speed.load(place, target) for key, place in places.items()}
    times = speed.times(
        models, target, repeats, lambda rounds: progress.track(rounds, f"speed of parent and children, {name}")
    )
    return {
        key: {
            "parameters": sum(p.numel() for p in model.parameters()),
            "measured": speed.summary(times[key], target.workload),
            "memory": memory[key],
            "speedup": speed.speedups(times[speed.PARENT], times[key]),
            "rounds": {phase: getattr(times[key], phase) for phase in ("prefill", "decode")},
        }
        for key, model in models.items()
    }


def _predict(models: dict[str, Json], table: pd.DataFrame, blocks_of: Mapping[str, Sequence[str]]) -> None:
    """Add what the cost table predicts for every model, and the error of its speed-ups."""
    from tessera.puzzle.costs.lookup import child_cost
    from tessera.puzzle.models.space import PARENT, compose
    from tessera.puzzle.serve import speed

    whole = [compose(PARENT, PARENT)] * len(next(iter(blocks_of.values())))
    costs = {key: child_cost(table, blocks_of.get(key, whole)) for key in models}
    for key, row in models.items():
        foreseen = {
            phase: costs[speed.PARENT][f"{phase}_ms"] / costs[key][f"{phase}_ms"]
            for phase in speed.PHASES
            if costs[key][f"{phase}_ms"]
        }
        row |= {
            "predicted": costs[key],
            "predicted_speedup": foreseen,
            "speedup_error": {
                phase: foreseen[phase] / row["speedup"][phase] - 1 for phase in foreseen if phase in row["speedup"]
            },
        }


if __name__ == "__main__":
    stage.run(main)
