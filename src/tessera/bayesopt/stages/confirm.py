"""Run a study's baseline and its best trial again with another seed: the least of many values is a lucky one."""

from pathlib import Path
from typing import Any

from tessera.bayesopt import objective
from tessera.bayesopt.params import ObjectiveParams
from tessera.bayesopt.trial import Trial, best
from tessera.common import files, stage
from tessera.common.params import Section


class Params(Section):
    """The objective, and the sections of params.yaml that it reads, the seed among them."""

    objective: ObjectiveParams
    given: dict[str, Any]


def main(params: Params, results: list[Path], replicate: int, confirmation: Path) -> None:
    """Write the values of trial 0 and of the best trial with the seed that is replicate + 1 above the study's.

    A value is null where the stage fails.
    """
    trials = sorted((Trial.from_json(files.read_json(path), str(path)) for path in results), key=lambda one: one.id)
    tuned = best(trials) or trials[0]
    seed = params.given["seed"] + 1 + replicate
    found: dict[str, Any] = {"seed": seed, "trial": tuned.id}
    for name, trial in (("baseline", trials[0]), ("tuned", tuned)):
        given = objective.values(params.given | {"seed": seed}, params.objective.params, trial.params)
        found[name], error = objective.run(params.objective, given, confirmation.parent / f"scratch-{replicate}")
        if error:
            print(f"{name}: {error}")
    files.write_json(confirmation, found)


if __name__ == "__main__":
    stage.run(main)
