"""Draw the figures of the validity study."""

from pathlib import Path

from tessera.common import plots, publish, stage
from tessera.common.params import Section
from tessera.puzzle.studies.validity.params import ValidityParams
from tessera.puzzle.studies.validity.report import figures as puzzle_validity_figures
from tessera.puzzle.studies.validity.report import results

FIGURES = {
    "kl": puzzle_validity_figures.kl,
    "bias": puzzle_validity_figures.bias,
    "composed": puzzle_validity_figures.composed,
    "optimum": puzzle_validity_figures.optimum,
    "time": puzzle_validity_figures.time,
}


class Params(Section):
    """The study, for its intervals, and the seed of the whole."""

    validity: ValidityParams
    seed: int


def main(
    params: Params,
    groups: list[Path],
    corrected: Path,
    correction: Path,
    composed: Path,
    scores: list[Path],
    time: Path,
    figures: list[Path],
) -> None:
    """Write each figure, named by its file; valid names are those of FIGURES."""
    publish.check("figures", figures, FIGURES)
    found = results.read(groups, corrected, correction, composed, scores, time, params.validity.bootstrap, params.seed)
    for path in figures:
        plots.save(FIGURES[path.stem](found), path)


if __name__ == "__main__":
    stage.run(main)
