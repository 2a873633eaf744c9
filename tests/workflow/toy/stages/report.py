"""Publish the toy study."""

from pathlib import Path

from tessera.common import files, stage
from tessera.toy.params import ToyParams
from tessera.toy.report import REPORT, Results


def main(
    params: ToyParams, walks: list[Path], texts: list[Path], figures: list[Path], metrics: Path, runs: Path
) -> None:
    """Write each item of the report into the file of its name."""
    results = Results(params, {path.stem: files.read_csv(path) for path in walks})
    REPORT.write(results, texts=texts, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
