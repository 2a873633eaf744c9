"""Run a study's baseline and its recommended trial with another seed: the least of noisy values is biased downwards."""

from pathlib import Path
from typing import Any

from tessera.bayesopt.params import ObjectiveParams, ProposalParams
from tessera.bayesopt.trial import Trial
from tessera.common import files, stage
from tessera.common.params import Section


class Params(Section):
    """What proposals depend on, the objective, and the sections of params.yaml that it reads, the seed among them."""

    proposals: ProposalParams
    objective: ObjectiveParams
    given: dict[str, Any]


def main(params: Params, results: list[Path], replicate: int, confirmation: Path) -> None:
    """Write the values of trial 0 and of the recommended trial with the seed that is replicate + 1 above the study's.

    A value is null if the stage fails; trial 0 takes the place of the recommended trial if no trial succeeded.
    """
    from tessera.bayesopt import objective
    from tessera.bayesopt.space import Space
    from tessera.bayesopt.study import recommended

    trials = sorted((Trial.from_json(files.read_json(path), str(path)) for path in results), key=lambda trial: trial.id)
    proposals = params.proposals
    tuned = recommended(Space(proposals.space), proposals.settings(), proposals.seed, trials) or trials[0]
    seed = params.given["seed"] + 1 + replicate
    outcome: dict[str, Any] = {"seed": seed, "trial": tuned.id}
    for name, trial in (("baseline", trials[0]), ("tuned", tuned)):
        values = objective.values(params.given | {"seed": seed}, params.objective.params, trial.params)
        outcome[name], error = objective.run(params.objective, values, confirmation.parent / f"scratch-{replicate}")
        if error:
            print(f"{name}: {error}")
    files.write_json(confirmation, outcome)


if __name__ == "__main__":
    stage.run(main)
