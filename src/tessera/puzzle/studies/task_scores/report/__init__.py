"""Results of scores by task accuracy, from the study's result files."""

from tessera.common.publish import Report
from tessera.puzzle.studies.task_scores.report import figures, tables
from tessera.puzzle.studies.task_scores.report.results import Results, numbers
from tessera.puzzle.studies.task_scores.report.runs import runs

REPORT: Report[Results] = Report(
    texts={"results": tables.markdown},
    tables={"variants": tables.variants, "children": tables.children},
    figures={"scores": figures.scores},
    metrics=numbers,
    runs=runs,
)
