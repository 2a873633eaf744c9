"""Attractor networks of one size: their stability against noise, and their basins."""

from pathlib import Path

from tessera.balanced.params import AttractorParams
from tessera.common import files, stage
from tessera.common.params import Section


class Params(Section):
    """Networks and tests, and the seed of the whole study."""

    attractor: AttractorParams
    seed: int


def main(params: Params, size: int, result: Path) -> None:
    """Write one row per network and objective."""
    from tessera.balanced import experiments

    files.write_json(result, experiments.attractors(params.attractor, size, params.seed))


if __name__ == "__main__":
    stage.run(main)
