"""Publish the ablations: text, tables, figures, numbers and runs."""

from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.puzzle.params import LibraryParams
from tessera.puzzle.studies.ablations.params import AblationsParams
from tessera.puzzle.studies.ablations.report import REPORT
from tessera.puzzle.studies.ablations.report.results import read


class Params(Section):
    """The ablations, the block library whose loss is shown, and the seed of the whole."""

    ablations: AblationsParams
    library: LibraryParams
    seed: int


def main(
    params: Params,
    blocks: list[Path],
    cases: list[Path],
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name."""
    results = read(params.ablations, params.library.loss, params.seed, blocks, cases)
    REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
