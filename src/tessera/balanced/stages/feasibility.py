"""How many random tasks have a solution, and a balanced one, around the critical loads."""

from pathlib import Path

from tessera.balanced.params import FeasibilityParams
from tessera.common import files, stage
from tessera.common.params import Section


class Params(Section):
    """The tasks, and the seed of the whole study."""

    feasibility: FeasibilityParams
    seed: int


def main(params: Params, set_name: str, table: Path) -> None:
    """Write one row per size, kind and load of the set."""
    import pandas as pd

    from tessera.balanced import experiments

    settings = params.feasibility
    rows = experiments.feasibility(settings, settings.cv_ratios[set_name], params.seed)
    files.write_csv(table, pd.DataFrame(rows))


if __name__ == "__main__":
    stage.run(main)
