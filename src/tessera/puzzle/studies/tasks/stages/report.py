"""Publish the study of task items: texts, tables, figure, numbers and runs."""

from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.puzzle.studies.tasks.params import TasksParams
from tessera.puzzle.studies.tasks.report import REPORT
from tessera.puzzle.studies.tasks.report.results import read


class Params(Section):
    """The study, and the seed of the whole."""

    tasks: TasksParams
    seed: int


def main(
    params: Params,
    table: Path,
    answers: list[Path],
    evaluation: list[Path],
    samples: Path,
    latency: Path,
    speed: Path,
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name.

    evaluation and speed are the main chain's; answers are one file per model, named after it.
    """
    results = read(params.tasks, params.seed, table, answers, evaluation, samples, latency, speed)
    REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
