"""Spiking neurons that read out the optimal weights by their spike count."""

from pathlib import Path

from tessera.balanced.params import LifParams
from tessera.common import files, stage
from tessera.common.params import Section
from tessera.common.run_files import RunRecord


class Params(Section):
    """Neuron, task and noise, and the seed of the whole study."""

    lif: LifParams
    seed: int


def main(params: Params, result: Path, run: Path) -> None:
    """Write areas and counts of all trials, and the run."""
    from tessera.balanced import experiments, summaries

    found = experiments.spiking(params.lif, params.seed)
    files.write_json(result, found)
    RunRecord(
        experiment="balanced/lif",
        name="balanced_lif",
        params={"balanced": params.model_dump(mode="json")},
        tags={"snakemake.rule": "balanced_spike", "seed": str(params.seed)},
        metrics=summaries.spiking_metrics(found),
        figures=["reports/figures/balanced/spiking.svg"],
    ).write(run)


if __name__ == "__main__":
    stage.run(main)
