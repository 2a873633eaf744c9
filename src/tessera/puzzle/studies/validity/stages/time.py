"""Serve children with a wide range of predicted times on this machine, in turn with the parent, and compare."""

from pathlib import Path

from tessera.common import files, progress, stage
from tessera.common.files import Json
from tessera.common.params import Section
from tessera.puzzle.costs.params import CostsParams
from tessera.puzzle.models.space import PARENT, Space, compose
from tessera.puzzle.studies.validity.params import ValidityParams


class Params(Section):
    """The study, the space, and the targets, of which the first measured one is served."""

    validity: ValidityParams
    space: Space
    costs: CostsParams


def main(params: Params, parent: Path, library: list[Path], costs: list[Path], children: Path, metrics: Path) -> None:
    """Write predicted and measured times of the parent and of children spread evenly over the ranks of prediction.

    If no target is measured, nothing is predicted for this machine: the target is null, and no child is served.
    """
    from tessera.puzzle.child import assemble
    from tessera.puzzle.costs.lookup import child_cost
    from tessera.puzzle.serve import speed
    from tessera.puzzle.studies.validity.children import evenly

    if not params.costs.measured:
        files.write_json(metrics, {"target": None, "children": {}})
        return
    name, target = next(iter(params.costs.measured.items()))
    table = files.read_parquet({path.stem: path for path in costs}[name])
    rows = [row for group in files.read_json(children).values() for row in group]
    predicted = [child_cost(table, row["blocks"]) for row in rows]
    settings = params.validity.time
    teacher = speed.load(parent, target)
    whole = [compose(PARENT, PARENT)] * len(teacher.layers)
    models = {PARENT: teacher}
    about: dict[str, Json] = {PARENT: {"group": PARENT, "blocks": whole, "predicted": child_cost(table, whole)}}
    for n in evenly([cost["runtime_ms"] for cost in predicted], settings.children):
        child, blocks_of = rows[n]["name"], rows[n]["blocks"]
        models[child] = assemble(teacher, params.space, library, blocks_of)
        about[child] = {"group": rows[n]["group"], "blocks": blocks_of, "predicted": predicted[n]}
    times = speed.times(models, target, settings.repeats, lambda rounds: progress.track(rounds, "times of children"))
    parents = about[PARENT]["predicted"]
    for child, taken in times.items():
        foreseen = about[child]["predicted"]
        about[child] |= {
            "measured": speed.summary(taken, target.workload),
            "speedup": speed.speedups(times[PARENT], taken),
            "predicted_speedup": {
                phase: parents[f"{phase}_ms"] / foreseen[f"{phase}_ms"]
                for phase in speed.PHASES
                if foreseen[f"{phase}_ms"]
            },
            "rounds": {phase: getattr(taken, phase) for phase in speed.PHASES},
        }
    files.write_json(metrics, {"target": name} | speed.about(target, settings.repeats) | {"children": about})


if __name__ == "__main__":
    stage.run(main)
