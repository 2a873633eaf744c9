"""Draw the figures of the Puzzle study."""

from pathlib import Path

from tessera.common import plots, publish, stage
from tessera.puzzle.report import choice_figures, results, training_figures

FIGURES = {
    "frontier": choice_figures.frontier,
    "choices": choice_figures.choices,
    "layer_costs": choice_figures.layer_costs,
    "prediction": choice_figures.prediction,
    "evaluation": choice_figures.evaluation,
    "scores": training_figures.scores,
    "library": training_figures.library,
    "training": training_figures.training,
    "healing": training_figures.healing,
}


def main(
    library: list[Path],
    scores: list[Path],
    costs: list[Path],
    frontier: list[Path],
    children: list[Path],
    curves: list[Path],
    evaluation: list[Path],
    speed: Path,
    figures: list[Path],
) -> None:
    """Write each figure, named by its file; valid names are those of FIGURES."""
    publish.check("figures", figures, FIGURES)
    found = results.read(library, scores, costs, frontier, children, curves, evaluation, speed)
    for path in figures:
        plots.save(FIGURES[path.stem](found), path)


if __name__ == "__main__":
    stage.run(main)
