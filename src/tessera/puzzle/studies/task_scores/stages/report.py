"""Write tables, numbers, run files and the figure of scores by task accuracy."""

from pathlib import Path

from tessera.common import files, plots, stage
from tessera.common.params import Section
from tessera.puzzle.studies.task_scores.params import TaskScoresParams
from tessera.puzzle.studies.task_scores.report import results as puzzle_task_scores
from tessera.puzzle.studies.tasks.params import TasksParams


class Params(Section):
    """The scores, the study of tasks, whose rules for sets and intervals hold, and the seed of the whole."""

    task_scores: TaskScoresParams
    tasks: TasksParams
    seed: int


def main(
    params: Params,
    scores: list[Path],
    task_scores: list[Path],
    items: Path,
    answers: list[Path],
    children: Path,
    evaluation: list[Path],
    results: Path,
    variants: Path,
    child_table: Path,
    metrics: Path,
    runs: Path,
    figure: Path,
) -> None:
    """Write results, in Markdown, the tables of variants and children, the numbers, the run files, and the figure."""
    found = puzzle_task_scores.read(
        scores, task_scores, items, answers, children, evaluation, params.task_scores.items, params.tasks.margin
    )
    numbers = puzzle_task_scores.metrics(found, params.tasks.bootstrap, params.seed)
    files.write_text(results, puzzle_task_scores.markdown(found, numbers))
    files.write_csv(variants, found.variants)
    files.write_csv(child_table, puzzle_task_scores.children(found))
    files.write_json(metrics, numbers)
    settings = {"task_scores": params.task_scores.model_dump(mode="json")}
    with files.replacing_directory(runs) as made:
        for place, record in puzzle_task_scores.runs(found, numbers, settings, params.seed):
            record.write(made / f"{place}.json")
    plots.save(puzzle_task_scores.figure(found, numbers), figure)


if __name__ == "__main__":
    stage.run(main)
