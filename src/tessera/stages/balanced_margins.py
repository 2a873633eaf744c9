"""Optimal weights of random tasks: margins over loads and sizes, and their distribution."""

from pathlib import Path

from tessera.balanced.params import MarginParams
from tessera.common import files, stage
from tessera.common.params import Section
from tessera.common.run_files import RunRecord


class Params(Section):
    """The tasks, and the seed of the whole study."""

    margins: MarginParams
    seed: int


def main(params: Params, inputs: str, table: Path, weights: Path, run: Path) -> None:
    """Write one row for each solution, the weights of the largest size, and the run, for one law of the inputs."""
    import pandas as pd

    from tessera.balanced import experiments, summaries

    rows, found = experiments.margin_ensemble(params.margins, inputs, params.seed)
    solutions = pd.DataFrame(rows)
    files.write_csv(table, solutions)
    files.write_parquet(weights, pd.DataFrame(found))
    RunRecord(
        experiment="balanced/margins",
        name=f"balanced_margins/inputs={inputs}",
        params={"balanced": params.model_dump(mode="json")},
        tags={"snakemake.rule": "balanced_optima", "seed": str(params.seed), "inputs": inputs},
        metrics=summaries.margin_metrics(solutions, params.margins),
        figures=[
            "reports/figures/balanced/margins.svg",
            "reports/figures/balanced/scaling.svg",
            "reports/figures/balanced/weights.svg",
        ],
    ).write(run)


if __name__ == "__main__":
    stage.run(main)
