"""Run one job of a benchmark: a sampler on a test function, with some seeds, on a simulated clock."""

from pathlib import Path

from tessera.bayesopt.jobs import RunsParams
from tessera.common import files, stage
from tessera.common.params import Section


class Params(Section):
    """The job, and the seed of the whole study."""

    job: RunsParams
    seed: int


def main(params: Params, runs: Path, cost: Path) -> None:
    """Write one row per evaluation and, in a file of their own because they are measured, CPU seconds of proposals."""
    from tessera.bayesopt import samplers

    evaluations, seconds = samplers.runs(params.job, params.seed)
    files.write_parquet(runs, evaluations)
    files.write_json(cost, seconds)


if __name__ == "__main__":
    stage.run(main)
