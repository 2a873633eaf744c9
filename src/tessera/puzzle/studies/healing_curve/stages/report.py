"""Publish the curves of healing: text, table, figure, numbers and runs."""

from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.puzzle.studies.healing_curve.params import HealingCurveParams
from tessera.puzzle.studies.healing_curve.report import REPORT
from tessera.puzzle.studies.healing_curve.report.results import read


class Params(Section):
    """The study, and the seed of the whole."""

    healing_curve: HealingCurveParams
    seed: int


def main(
    params: Params,
    config: Path,
    evaluation: list[Path],
    curves: list[Path],
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name; evaluation is one file for each target and text."""
    results = read(params.healing_curve, params.seed, config, evaluation, curves)
    REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
