"""Evaluate one trial of a study: run its objective's stage with the trial's values and read the metric."""

import sys
import time
from pathlib import Path
from typing import Any

from tessera.bayesopt import objective
from tessera.bayesopt.params import ObjectiveParams
from tessera.bayesopt.trial import Trial
from tessera.common import files, stage
from tessera.common.params import Section


class Params(Section):
    """The objective, and the sections of params.yaml that it reads."""

    objective: ObjectiveParams
    given: dict[str, Any]


def main(params: Params, proposal: Path, result: Path, cost: Path) -> None:
    """Write the trial with its outcome, and the seconds that it took.

    The trial has failed if the stage ends with an error, exceeds the time limit or gives no finite number. A stage
    that is ended by a signal says nothing about the trial: that is an error of this job, which Snakemake runs again.
    """
    trial = Trial.from_json(files.read_json(proposal), str(proposal))
    start = time.monotonic()
    values = objective.values(params.given, params.objective.params, trial.params)
    value, error = objective.run(params.objective, values, result.parent / "scratch")
    trial = trial.ended(value, error=error)
    if trial.error:
        print(f"trial {trial.id} failed: {trial.error}", file=sys.stderr)
    files.write_json(result, trial.to_json())
    files.write_json(cost, {"seconds": time.monotonic() - start})


if __name__ == "__main__":
    stage.run(main)
