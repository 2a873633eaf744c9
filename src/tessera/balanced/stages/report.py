"""Publish the balanced-networks study: texts, tables, figures, numbers and runs."""

from pathlib import Path

from tessera.balanced.params import BalancedParams
from tessera.balanced.report import REPORT
from tessera.balanced.report.results import read
from tessera.common import stage
from tessera.common.params import Section


class Params(Section):
    """The study's parameters, and the seed of its runs."""

    balanced: BalancedParams
    seed: int


def main(
    params: Params,
    curves: Path,
    feasibility: list[Path],
    margins: list[Path],
    weights: list[Path],
    learning: Path,
    spiking: Path,
    attractors: list[Path],
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name."""
    results = read(params.balanced, params.seed, curves, feasibility, margins, weights, learning, spiking, attractors)
    REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
