"""Draw the figures of the Puzzle study."""

from pathlib import Path

from tessera.common import plots, stage
from tessera.report import outputs, puzzle_choice_figures, puzzle_results, puzzle_training_figures

FIGURES = {
    "frontier": puzzle_choice_figures.frontier,
    "choices": puzzle_choice_figures.choices,
    "layer_costs": puzzle_choice_figures.layer_costs,
    "prediction": puzzle_choice_figures.prediction,
    "evaluation": puzzle_choice_figures.evaluation,
    "scores": puzzle_training_figures.scores,
    "library": puzzle_training_figures.library,
    "training": puzzle_training_figures.training,
    "healing": puzzle_training_figures.healing,
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
    outputs.check("figures", figures, FIGURES)
    found = puzzle_results.read(library, scores, costs, frontier, children, curves, evaluation, speed)
    for path in figures:
        plots.save(FIGURES[path.stem](found), path)


if __name__ == "__main__":
    stage.run(main)
