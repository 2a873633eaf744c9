"""Publish the validity study: text, tables, figures, numbers and runs."""

from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.puzzle.studies.validity.params import ValidityParams
from tessera.puzzle.studies.validity.report import REPORT
from tessera.puzzle.studies.validity.report.results import read


class Params(Section):
    """The study's parameters, and the seed of its intervals."""

    validity: ValidityParams
    seed: int


def main(
    params: Params,
    groups: list[Path],
    corrected: Path,
    correction: Path,
    composed: Path,
    scores: list[Path],
    time: Path,
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name."""
    results = read(params.validity, params.seed, groups, corrected, correction, composed, scores, time)
    REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
