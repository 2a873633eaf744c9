"""How many random tasks have a solution, and a balanced one, around the critical loads."""

from pathlib import Path

from tessera.balanced.params import FeasibilityParams
from tessera.common import files, stage
from tessera.common.params import Section
from tessera.common.run_files import RunRecord


class Params(Section):
    """The tasks, and the seed of the whole study."""

    feasibility: FeasibilityParams
    seed: int


def main(params: Params, set_name: str, table: Path, run: Path) -> None:
    """Write one row for each cell of size, kind and load of the set, and the run."""
    import pandas as pd

    from tessera.balanced import experiments, summaries

    settings = params.feasibility
    rows = pd.DataFrame(experiments.feasibility(settings, settings.cv_ratios[set_name], params.seed))
    files.write_csv(table, rows)
    RunRecord(
        experiment="balanced/feasibility",
        name=f"balanced_feasibility/set={set_name}",
        params={"balanced": params.model_dump(mode="json")},
        tags={"snakemake.rule": "balanced_solvable", "seed": str(params.seed), "set": set_name},
        metrics=summaries.feasibility_metrics(rows, settings, settings.cv_ratios[set_name]),
        figures=["reports/figures/balanced/feasibility.svg", "reports/figures/balanced/capacity.svg"],
    ).write(run)


if __name__ == "__main__":
    stage.run(main)
