"""Publish the study of scores by task accuracy: text, tables, figure, numbers and runs."""

from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.puzzle.studies.task_scores.params import TaskScoresParams
from tessera.puzzle.studies.task_scores.report import REPORT
from tessera.puzzle.studies.task_scores.report.results import read


class Params(Section):
    """The scores, when a set of the study of tasks counts and the draws of its intervals, and the seed of the whole."""

    task_scores: TaskScoresParams
    margin: float
    bootstrap: int
    seed: int


def main(
    params: Params,
    scores: list[Path],
    task_scores: list[Path],
    table: Path,
    answers: list[Path],
    children: Path,
    evaluation: list[Path],
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name.

    answers and evaluation are one file per score, named after it, the parent's answers first.
    """
    results = read(
        params.task_scores,
        params.margin,
        params.bootstrap,
        params.seed,
        scores,
        task_scores,
        table,
        answers,
        children,
        evaluation,
    )
    REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
