"""Publish the T-SVM study: texts, tables, figures, numbers and runs."""

from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.tsvm.params import TsvmParams
from tessera.tsvm.report import REPORT
from tessera.tsvm.report.results import read


class Params(Section):
    """The study's parameters, and the seed of its runs."""

    tsvm: TsvmParams
    seed: int


def main(
    params: Params,
    problems: list[Path],
    rounds: list[Path],
    trace: Path,
    support: Path,
    soft: list[Path],
    steps: list[Path],
    load: list[Path],
    curves: list[Path],
    critical: list[Path],
    sweep: Path,
    brian: Path,
    xor_margins: Path,
    xor_noise: Path,
    speech: Path,
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name."""
    results = read(
        params.tsvm, params.seed, problems, rounds, trace, support, soft, steps, load, curves, critical, sweep, brian,
        xor_margins, xor_noise, speech,
    )  # fmt: skip
    REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
