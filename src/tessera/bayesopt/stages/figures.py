"""Draw the figures of a benchmark of optimisers."""

from pathlib import Path

from tessera.bayesopt.params import SuiteParams
from tessera.bayesopt.report import figures as bayesopt_figures
from tessera.bayesopt.report import tables
from tessera.common import plots, publish, stage
from tessera.common.params import Section

FIGURES = {
    "proposals": bayesopt_figures.proposals,
    "regret": bayesopt_figures.regret,
    "edges": bayesopt_figures.edges,
    "lag": bayesopt_figures.lag,
}


class Params(Section):
    """One suite, and the seed of the whole study."""

    suite: SuiteParams
    seed: int


def main(params: Params, evaluations: list[Path], figures: list[Path]) -> None:
    """Write each figure, named by its file; valid names are those of FIGURES."""
    publish.check("figures", figures, FIGURES)
    found = tables.read(evaluations, params.suite)
    for path in figures:
        plots.save(FIGURES[path.stem](found, params.suite, params.seed), path)


if __name__ == "__main__":
    stage.run(main)
