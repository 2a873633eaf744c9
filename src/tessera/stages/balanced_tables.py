"""Write the tables of the balanced-networks study."""

from pathlib import Path

from tessera.balanced.params import BalancedParams
from tessera.common import files, stage
from tessera.report import balanced_results, balanced_tables, outputs

TABLES = {
    "feasibility": balanced_tables.feasibility,
    "margins": balanced_tables.margins,
    "weights": balanced_tables.weights,
    "learning": balanced_tables.learning,
    "spiking": balanced_tables.spiking,
    "attractors": balanced_tables.attractors,
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
    results: Path,
    summary: Path,
    tables: list[Path],
    metrics: Path,
) -> None:
    """Write results and their summary, in Markdown, the tables, each named by its file, and the numbers as JSON."""
    outputs.check("tables", tables, TABLES)
    found = balanced_results.read(params, curves, feasibility, margins, weights, learning, spiking, attractors)
    files.write_text(results, balanced_tables.markdown(found))
    files.write_text(summary, balanced_tables.summary(found))
    for path in tables:
        files.write_csv(path, TABLES[path.stem](found))
    files.write_json(metrics, balanced_tables.metrics(found))


if __name__ == "__main__":
    stage.run(main)
