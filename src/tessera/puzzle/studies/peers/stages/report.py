"""Publish the comparison with other ways to prune: text, tables, figure, numbers and runs."""

from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.puzzle.studies.peers.params import PeersParams
from tessera.puzzle.studies.peers.report import REPORT
from tessera.puzzle.studies.peers.report.results import read


class Params(Section):
    """The comparison, and the seed of the whole."""

    peers: PeersParams
    seed: int


def main(
    params: Params,
    children: list[Path],
    speed: Path,
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name."""
    results = read(params.peers, params.seed, children, speed)
    REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
