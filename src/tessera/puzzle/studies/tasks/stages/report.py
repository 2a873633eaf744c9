"""Write tables, texts, numbers, run files and the figure of the study of task items."""

from pathlib import Path

from tessera.common import files, plots, stage
from tessera.common.params import Section
from tessera.puzzle.studies.tasks.params import TasksParams
from tessera.puzzle.studies.tasks.report import figures, tables
from tessera.puzzle.studies.tasks.report import results as puzzle_tasks_results


class Params(Section):
    """The study, and the seed of the whole."""

    tasks: TasksParams
    seed: int


def main(
    params: Params,
    items: Path,
    answers: list[Path],
    evaluation: list[Path],
    samples: Path,
    latency: Path,
    speed: Path,
    results: Path,
    tasks: Path,
    texts: Path,
    metrics: Path,
    runs: Path,
    figure: Path,
) -> None:
    """Write results and texts, in Markdown, the table of sets, the numbers, the run files, and the figure.

    evaluation and speed are of the main chain; answers are one a model, named by it.
    """
    found = puzzle_tasks_results.read(items, answers, evaluation, samples, latency, speed, params.tasks.margin)
    numbers = puzzle_tasks_results.metrics(found, params.tasks, params.seed)
    files.write_text(results, tables.markdown(found, numbers))
    files.write_csv(tasks, tables.tasks(found, numbers))
    files.write_text(texts, tables.samples(found))
    files.write_json(metrics, numbers)
    settings = {"tasks": params.tasks.model_dump(mode="json")}
    with files.replacing_directory(runs) as made:
        for place, record in tables.runs(found, numbers, settings, params.seed):
            record.write(made / f"{place}.json")
    plots.save(figures.retention(found, numbers), figure)


if __name__ == "__main__":
    stage.run(main)
