"""Online learning of random tasks under every kind of noise."""

from pathlib import Path

from tessera.balanced.params import LearningParams
from tessera.common import files, stage
from tessera.common.params import Section
from tessera.common.run_files import RunRecord


class Params(Section):
    """The task and the rule, and the seed of the whole study."""

    learning: LearningParams
    seed: int


def main(params: Params, table: Path, runs: Path) -> None:
    """Write the traces of all noises and tasks, and a run for each noise with their mean over tasks."""
    import pandas as pd

    from tessera.balanced import experiments, summaries

    traces = {noise: experiments.learning(params.learning, noise, params.seed) for noise in params.learning.noise}
    whole = pd.DataFrame([{"noise": noise} | row for noise, rows in traces.items() for row in rows])
    files.write_csv(table, whole)
    with files.replacing_directory(runs) as made:
        for noise, rows in whole.groupby("noise"):
            mean = rows.groupby("cycle")[["error", "imbalance", "norm", "kappa_in", "kappa_out"]].mean()
            curves = mean.items()
            RunRecord(
                experiment="balanced/learning",
                name=f"balanced_learning/noise={noise}",
                params={"balanced": params.model_dump(mode="json")},
                tags={"snakemake.rule": "balanced_learn", "noise": str(noise), "seed": str(params.seed)},
                metrics=summaries.learning_metrics(rows),
                history={str(name): list(zip(mean.index.tolist(), c.tolist(), strict=True)) for name, c in curves},
                figures=["reports/figures/balanced/learning.svg"],
            ).write(made / f"{noise}.json")


if __name__ == "__main__":
    stage.run(main)
