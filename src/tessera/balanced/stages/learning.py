"""Online learning of random tasks under every kind of noise."""

from pathlib import Path

from tessera.balanced.params import LearningParams
from tessera.common import files, stage
from tessera.common.params import Section


class Params(Section):
    """The task and the rule, and the seed of the whole study."""

    learning: LearningParams
    seed: int


def main(params: Params, table: Path) -> None:
    """Write the traces of all kinds of noise and tasks."""
    import pandas as pd

    from tessera.balanced import experiments

    traces = {noise: experiments.learning(params.learning, noise, params.seed) for noise in params.learning.noise}
    files.write_csv(table, pd.DataFrame([{"noise": noise} | row for noise, rows in traces.items() for row in rows]))


if __name__ == "__main__":
    stage.run(main)
