"""Measure time and memory of the parent and the kept children on this machine, and compare with the predictions."""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tessera.common import files, progress, stage
from tessera.common.files import Json
from tessera.common.params import Section
from tessera.puzzle.costs.params import CostsParams, CostTarget
from tessera.puzzle.params import ComputeParams, SpeedParams

if TYPE_CHECKING:
    from tessera.puzzle.serve.speed import Times


class Params(Section):
    """The targets, of which all measured here are served; the device of the stand-in; the repeats."""

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
    so is the directory of its choices; method names the children's row in choices. What is served without being a
    target has no cost table, and so no prediction; left_out says which children an engine cannot compute, and why.
    """
    from tessera.puzzle.child import chosen
    from tessera.puzzle.serve import speed

    places = {speed.PARENT: parent} | {path.name: path for path in children}
    blocks_of = {path.parent.name: chosen(path, method)["blocks"] for path in choices}
    tables = {path.stem: path for path in costs if path.stem in params.costs.timed}
    served = {}
    for name, target in speed.servings(params.costs, params.compute).items():
        if name not in tables:  # by torch
            target = speed.fitted(places.values(), target)
        measure = {"llama.cpp": _in_llama_cpp, "vllm": _in_vllm}.get(target.source, _by_torch)
        models, left_out = measure(name, target, places, params.speed.repeats)
        if name in tables:
            _predict(models, files.read_parquet(tables[name]), blocks_of)
        served[name] = speed.about(target, params.speed.repeats) | {"models": models, "left_out": left_out}
    files.write_json(metrics, {"method": method, "served": served})


#: Parameters, time and memory of every model that was served, and why others were not.
Measured = tuple[dict[str, Json], dict[str, str]]


def _by_torch(name: str, target: CostTarget, places: Mapping[str, Path], repeats: int) -> Measured:
    """All models on the target's hardware."""
    from tessera.puzzle.serve import speed

    # Memory first, while this process is small; a machine short of memory then says so at once.
    memory = {key: speed.peak_memory(place, target) for key, place in places.items()}
    models = {key: speed.load(place, target) for key, place in places.items()}
    times = speed.times(models, target, repeats, _rounds(name))
    parameters = {key: sum(p.numel() for p in model.parameters()) for key, model in models.items()}
    return _rows(times, target, memory, parameters), {}


def _in_llama_cpp(name: str, target: CostTarget, places: Mapping[str, Path], repeats: int) -> Measured:
    """Models that have a GGUF form."""
    from tessera.puzzle.serve import speed_llama_cpp

    with tempfile.TemporaryDirectory() as directory:
        models, left_out = speed_llama_cpp.write(places, target, Path(directory))
        memory = {key: speed_llama_cpp.peak_memory(model, target) for key, model in models.items()}
        times = speed_llama_cpp.times(models, target, repeats, _rounds(name))
    return _rows(times, target, memory, {key: model.parameters for key, model in models.items()}), left_out


def _in_vllm(name: str, target: CostTarget, places: Mapping[str, Path], repeats: int) -> Measured:
    """All models, each in a process of its own."""
    from tessera.puzzle.serve import speed_vllm

    times, memory, parameters = speed_vllm.times(places, target, repeats, f"speed of parent and children, {name}")
    return _rows(times, target, memory, parameters), {}


def _rounds(name: str) -> Callable[[Iterable[int]], Iterable[int]]:
    return lambda rounds: progress.track(list(rounds), f"speed of parent and children, {name}")


def _rows(
    times: Mapping[str, "Times"],
    target: CostTarget,
    memory: Mapping[str, Mapping[str, float]],
    parameters: Mapping[str, int],
) -> dict[str, Json]:
    from tessera.puzzle.serve import speed

    return {
        key: {
            "parameters": parameters[key],
            "measured": speed.summary(taken, target.workload),
            "memory": memory[key],
            "speedup": speed.speedups(times[speed.PARENT], taken),
            "rounds": {phase: getattr(taken, phase) for phase in ("prefill", "decode")},
        }
        for key, taken in times.items()
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
