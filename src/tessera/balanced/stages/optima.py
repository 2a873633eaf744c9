"""Optimal weights of random tasks: margins over loads and sizes, and the distribution of the weights."""

from pathlib import Path

from tessera.balanced.params import MarginParams
from tessera.common import files, stage
from tessera.common.params import Section


class Params(Section):
    """The tasks, and the seed of the whole study."""

    margins: MarginParams
    seed: int


def main(params: Params, inputs: str, table: Path, weights: Path) -> None:
    """Write one row per solution, and the weights at the largest size, for one distribution of the inputs."""
    import pandas as pd

    from tessera.balanced import experiments

    solutions, largest = experiments.margin_ensemble(params.margins, inputs, params.seed)
    files.write_csv(table, pd.DataFrame(solutions))
    files.write_parquet(weights, pd.DataFrame(largest))


if __name__ == "__main__":
    stage.run(main)
