"""Publish the tempotron study: text, tables, figures, numbers and runs."""

from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.tempotron.params import TempotronParams
from tessera.tempotron.report import REPORT
from tessera.tempotron.report.results import read


class Params(Section):
    """The study's parameters, and the seed of its runs."""

    tempotron: TempotronParams
    seed: int


def main(
    params: Params,
    capacity: Path,
    continuous: Path,
    planted: Path,
    maximum: list[Path],
    distances: list[Path],
    findable: list[Path],
    crossings: list[Path],
    existence: list[Path],
    solutions: list[Path],
    summaries: list[Path],
    ablation: Path,
    trace: Path,
    checks: Path,
    accuracies: Path,
    receptors: Path,
    statistics: Path,
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name."""
    results = read(
        params.tempotron,
        params.seed,
        capacity=capacity,
        continuous=continuous,
        planted=planted,
        maximum=maximum,
        distances=distances,
        findable=findable,
        crossings=crossings,
        existence=existence,
        solutions=solutions,
        summaries=summaries,
        ablation=ablation,
        trace=trace,
        checks=checks,
        accuracies=accuracies,
        receptors=receptors,
        statistics=statistics,
    )
    REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
