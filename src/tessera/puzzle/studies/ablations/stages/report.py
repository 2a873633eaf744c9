"""Write tables, run files and figures of the ablations."""

from pathlib import Path

from tessera.common import files, plots, stage
from tessera.common.params import Section
from tessera.puzzle.params import LibraryParams
from tessera.puzzle.studies.ablations.params import AblationsParams
from tessera.puzzle.studies.ablations.report import results as puzzle_ablations


class Params(Section):
    """The ablations, the block library whose loss is shown, and the seed of the whole."""

    ablations: AblationsParams
    library: LibraryParams
    seed: int


def main(
    params: Params,
    blocks: list[Path],
    cases: list[Path],
    results: Path,
    block_table: Path,
    case_table: Path,
    metrics: Path,
    runs: Path,
    block_figure: Path,
    flops_figure: Path,
    case_figure: Path,
) -> None:
    """Write results, in Markdown, the tables of blocks and cases, the numbers, the run files, and three figures."""
    rows, children = puzzle_ablations.read(blocks, cases)
    loss = params.library.loss
    against = {name: case.against for name, case in params.ablations.cases.items()}
    by_case = puzzle_ablations.case_table(children, against)
    files.write_text(results, puzzle_ablations.markdown(by_case))
    files.write_csv(block_table, puzzle_ablations.block_table(rows, loss))
    files.write_csv(case_table, by_case)
    numbers = by_case.astype(object).where(by_case.notna(), None).set_index("case").to_dict("index")
    files.write_json(metrics, numbers)
    with files.replacing_directory(runs) as made:
        settings = params.ablations.model_dump(mode="json")
        for place, record in puzzle_ablations.runs(children, settings, params.seed):
            record.write(made / f"{place}.json")
    plots.save(puzzle_ablations.block_figure(rows, loss, "tokens"), block_figure)
    plots.save(puzzle_ablations.block_figure(rows, loss, "flops"), flops_figure)
    plots.save(puzzle_ablations.case_figure(by_case), case_figure)


if __name__ == "__main__":
    stage.run(main)
