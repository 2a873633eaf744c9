"""Publish a benchmark of optimisers: text, tables, figures, numbers and runs."""

from pathlib import Path

from tessera.bayesopt.params import SuiteParams
from tessera.bayesopt.report import SUITE_REPORT
from tessera.bayesopt.report.results import read_suite
from tessera.common import stage
from tessera.common.params import Section


class Params(Section):
    """One suite, and the seed of the whole study."""

    suite: SuiteParams
    seed: int


def main(
    params: Params,
    benchmark: str,
    evaluations: list[Path],
    costs: list[Path],
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name."""
    results = read_suite(benchmark, params.suite, params.seed, evaluations, costs)
    SUITE_REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
