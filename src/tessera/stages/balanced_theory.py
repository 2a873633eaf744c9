"""Critical loads and margins of balanced networks, as the theory has them."""

from pathlib import Path

from tessera.balanced.params import MarginParams, TheoryParams
from tessera.common import files, stage
from tessera.common.params import Section
from tessera.common.run_files import RunRecord


class Params(Section):
    """The curves, and the set of the margin curves."""

    theory: TheoryParams
    margins: MarginParams


def main(params: Params, curves: Path, run: Path) -> None:
    """Write the curves, and the run that shows their numbers."""
    from tessera.balanced import experiments, summaries

    found = experiments.theory_curves(params.theory, params.margins)
    files.write_json(curves, found)
    metrics = summaries.theory_metrics(files.read_json(curves), params.margins.afferents.build())
    RunRecord(
        experiment="balanced/theory",
        name="balanced_theory",
        params={"balanced": params.model_dump(mode="json")},
        tags={"snakemake.rule": "balanced_curves"},
        metrics=metrics,
        figures=["reports/figures/balanced/capacity.svg", "reports/figures/balanced/margins.svg"],
    ).write(run)


if __name__ == "__main__":
    stage.run(main)
