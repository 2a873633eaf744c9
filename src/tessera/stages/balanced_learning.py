"""Online learning of a random task under one kind of noise."""

from pathlib import Path

from tessera.balanced.params import LearningParams
from tessera.common import files, stage
from tessera.common.params import Section
from tessera.common.tracking import RunRecord


class Params(Section):
    """The task and the rule, and the seed of the whole study."""

    learning: LearningParams
    seed: int


def main(params: Params, noise: str, table: Path, run: Path) -> None:
    """Write the traces of all tasks, and a run with their mean over tasks."""
    import pandas as pd

    from tessera.balanced import experiments, summaries

    rows = pd.DataFrame(experiments.learning(params.learning, noise, params.seed))
    files.write_csv(table, rows)
    mean = rows.groupby("cycle")[["error", "imbalance", "norm", "kappa_in", "kappa_out"]].mean()
    RunRecord(
        experiment="balanced/learning",
        name=f"balanced_learning/noise={noise}",
        params={"balanced": params.model_dump(mode="json")},
        tags={"snakemake.rule": "balanced_learning_noise", "noise": noise},
        metrics=summaries.learning_metrics(rows),
        history={
            str(name): list(zip(mean.index.tolist(), curve.tolist(), strict=True)) for name, curve in mean.items()
        },
    ).write(run)


if __name__ == "__main__":
    stage.run(main)
