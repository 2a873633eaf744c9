"""Draw the figures of the balanced-networks study."""

from pathlib import Path

from tessera.balanced.params import BalancedParams
from tessera.common import plots, stage
from tessera.report import balanced_network_figures, balanced_results, balanced_task_figures, outputs

FIGURES = {
    "capacity": balanced_task_figures.capacity,
    "feasibility": balanced_task_figures.feasibility,
    "margins": balanced_task_figures.margins,
    "scaling": balanced_task_figures.scaling,
    "weights": balanced_task_figures.weights,
    "learning": balanced_network_figures.learning,
    "spiking": balanced_network_figures.spiking,
    "attractors": balanced_network_figures.attractors,
}


def main(
    params: BalancedParams,
    curves: Path,
    feasibility: list[Path],
    margins: list[Path],
    weights: list[Path],
    learning: Path,
    spiking: Path,
    attractors: list[Path],
    figures: list[Path],
) -> None:
    """Write each figure, named by its file; valid names are those of FIGURES."""
    outputs.check("figures", figures, FIGURES)
    found = balanced_results.read(params, curves, feasibility, margins, weights, learning, spiking, attractors)
    for path in figures:
        plots.save(FIGURES[path.stem](found), path)


if __name__ == "__main__":
    stage.run(main)
