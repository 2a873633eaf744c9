"""Draw and tabulate the tempotron study."""

from pathlib import Path

from tessera.common import files, plots, publish, stage
from tessera.tempotron.report import capacity_figures, space_figures
from tessera.tempotron.report import results as tempotron_results
from tessera.tempotron.report import tables as tempotron_tables

FIGURES = {
    "capacity": capacity_figures.capacity,
    "existence": capacity_figures.existence,
    "ablation": capacity_figures.ablation,
    "trace": capacity_figures.trace,
    "maximum": space_figures.maximum,
    "planted": space_figures.planted,
    "overlaps": space_figures.overlaps,
    "walk": space_figures.walk,
    "real": space_figures.real,
}


def main(
    capacity: Path,
    continuous: Path,
    planted: Path,
    maximum: list[Path],
    findable: list[Path],
    existence: list[Path],
    solutions: list[Path],
    ablation: Path,
    trace: Path,
    accuracies: Path,
    receptors: Path,
    runs: list[Path],
    figures: list[Path],
    tables: list[Path],
    results: Path,
    metrics: Path,
) -> None:
    """Write figures and tables, each named by its file, the results in Markdown, and the numbers of the claims."""
    for flag, paths, known in (("figures", figures, FIGURES), ("tables", tables, tempotron_tables.TABLES)):
        publish.check(flag, paths, known)
    found = tempotron_results.read(
        capacity, continuous, planted, maximum, findable, existence, solutions, ablation, trace, accuracies, receptors,
        runs,
    )  # fmt: skip
    for path in figures:
        plots.save(FIGURES[path.stem](found), path)
    for path in tables:
        files.write_csv(path, tempotron_tables.TABLES[path.stem](found))
    files.write_text(results, tempotron_tables.markdown(found))
    files.write_json(metrics, tempotron_tables.metrics(found))


if __name__ == "__main__":
    stage.run(main)
