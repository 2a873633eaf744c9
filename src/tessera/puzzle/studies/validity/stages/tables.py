"""Write tables, numbers and run files of the validity study."""

from pathlib import Path

from tessera.common import files, publish, stage
from tessera.common.params import Section
from tessera.puzzle.studies.validity.params import ValidityParams
from tessera.puzzle.studies.validity.report import results as puzzle_validity_results
from tessera.puzzle.studies.validity.report import tables as puzzle_validity_tables

TABLES = {
    "children": puzzle_validity_tables.children,
    "composed": puzzle_validity_tables.composed,
    "optimum": puzzle_validity_tables.optimum,
    "time": puzzle_validity_tables.time,
}


class Params(Section):
    """The study, and the seed of the whole."""

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
    results: Path,
    tables: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write results, in Markdown, the tables, each named by its file, the study's numbers, and the run files."""
    publish.check("tables", tables, TABLES)
    found = puzzle_validity_results.read(
        groups, corrected, correction, composed, scores, time, params.validity.bootstrap, params.seed
    )
    files.write_text(results, puzzle_validity_tables.markdown(found))
    for path in tables:
        files.write_csv(path, TABLES[path.stem](found))
    files.write_json(metrics, puzzle_validity_results.summary(found))
    settings = {"validity": params.validity.model_dump(mode="json")}
    with files.replacing_directory(runs) as made:
        for place, record in puzzle_validity_tables.runs(found, settings, params.seed):
            record.write(made / f"{place}.json")


if __name__ == "__main__":
    stage.run(main)
