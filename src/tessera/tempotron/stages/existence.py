"""Exact existence of solutions for small tasks of K bins and n weights, by mixed-integer programming."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tempotron.params import ExistenceParams


class Params(Section):
    """The tasks, and the seed of the whole study."""

    existence: ExistenceParams
    seed: int


def main(params: Params, k: int, n: int, counts: Path) -> None:
    """Write one row per number of patterns."""
    import pandas as pd

    from tessera.tempotron import existence

    files.write_parquet(counts, pd.DataFrame(existence.counts(k, n, params.existence, params.seed)))


if __name__ == "__main__":
    stage.run(main)
