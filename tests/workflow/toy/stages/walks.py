"""Let one set of random walks run."""

from pathlib import Path

from tessera.common import files, randomness, stage
from tessera.common.params import Section
from tessera.toy.params import ToyParams


class Params(Section):
    """The study's parameters, and the seed of its walks."""

    toy: ToyParams
    seed: int


def main(params: Params, name: str, table: Path) -> None:
    """Write the mean square distance by step."""
    import pandas as pd

    from tessera.toy import walk

    rng = randomness.generator(params.seed, "toy", name)
    distance = walk.distances(params.toy.steps, params.toy.walks[name], rng)
    files.write_csv(table, pd.DataFrame({"step": range(1, len(distance) + 1), "distance": distance}))


if __name__ == "__main__":
    stage.run(main)
