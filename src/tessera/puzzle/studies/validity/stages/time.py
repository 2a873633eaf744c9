"""Serve children of many predicted times on this CPU, in turn with the parent, as the cost table has them or not."""

from pathlib import Path

import numpy as np

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.puzzle.costs.params import CostsParams
from tessera.puzzle.models.space import PARENT, Space, compose
from tessera.puzzle.studies.validity.params import ValidityParams


class Params(Section):
    """The study, the space, and the targets, of which the first one measured on a CPU is served."""

    validity: ValidityParams
    space: Space
    costs: CostsParams


def main(params: Params, parent: Path, library: list[Path], costs: list[Path], children: Path, metrics: Path) -> None:
    """Write predicted and measured times of the parent and of children spread evenly over the ranks of prediction."""
    from tessera.puzzle.child import assemble
    from tessera.puzzle.costs import child_cost
    from tessera.puzzle.models import blocks
    from tessera.puzzle.serve import speed

    name, target = speed.served(params.costs)
    table = files.read_parquet({path.stem: path for path in costs}[name])
    rows = [row for group in files.read_json(children).values() for row in group]
    predicted = [child_cost(table, row["blocks"]) for row in rows]
    order = np.argsort([one["runtime_ms"] for one in predicted], kind="stable")
    settings = params.validity.time
    places = np.unique(np.linspace(0, len(order) - 1, min(settings.children, len(order))).round().astype(int))
    teacher = blocks.load(parent).requires_grad_(False)
    whole = [compose(PARENT, PARENT)] * len(teacher.spec.layers)
    foreseen = {PARENT: child_cost(table, whole)}
    models, chosen = {PARENT: teacher}, {PARENT: {"blocks": whole, "group": PARENT}}
    for n in order[places]:
        row = rows[n]
        models[row["name"]] = assemble(teacher, parent, params.space, library, row["blocks"])
        foreseen[row["name"]], chosen[row["name"]] = predicted[n], row
    found = speed.times(models, target, settings.repeats, lambda rounds: progress.track(rounds, "times of children"))
    files.write_json(
        metrics,
        {
            "target": name,
            "workload": target.workload.model_dump(),
            "repeats": settings.repeats,
            "children": {
                key: {
                    "group": chosen[key]["group"],
                    "blocks": chosen[key]["blocks"],
                    "predicted": foreseen[key],
                    "measured": speed.summary(times, target.workload),
                    "speedup": speed.speedups(found[PARENT], times),
                    "predicted_speedup": {
                        phase: foreseen[PARENT][f"{phase}_ms"] / foreseen[key][f"{phase}_ms"]
                        for phase in speed.PHASES
                        if foreseen[key][f"{phase}_ms"]
                    },
                    "rounds": {phase: getattr(times, phase) for phase in speed.PHASES},
                }
                for key, times in found.items()
            },
        },
    )


if __name__ == "__main__":
    stage.run(main)
