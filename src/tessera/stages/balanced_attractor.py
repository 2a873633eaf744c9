"""Attractor networks of one size: their stability against noise, and their basins."""

from pathlib import Path

from tessera.balanced.params import AttractorParams
from tessera.common import files, stage
from tessera.common.params import Section
from tessera.common.run_files import RunRecord


class Params(Section):
    """Networks and tests, and the seed of the whole study."""

    attractor: AttractorParams
    seed: int


def main(params: Params, size: int, result: Path, run: Path) -> None:
    """Write one row for each network and objective, and the run."""
    from tessera.balanced import experiments, summaries

    rows = experiments.attractors(params.attractor, size, params.seed)
    files.write_json(result, rows)
    RunRecord(
        experiment="balanced/attractor",
        name=f"balanced_attractor/n={size}",
        params={"balanced": params.model_dump(mode="json")},
        tags={"snakemake.rule": "balanced_memories", "seed": str(params.seed), "n": str(size)},
        metrics=summaries.attractor_metrics(rows, params.attractor),
        figures=["reports/figures/balanced/attractors.svg"],
    ).write(run)


if __name__ == "__main__":
    stage.run(main)
