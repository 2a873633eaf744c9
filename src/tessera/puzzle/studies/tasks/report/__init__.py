"""Results of the study of task items, from its result files."""

from tessera.common.publish import Report
from tessera.puzzle.studies.tasks.report import figures, tables
from tessera.puzzle.studies.tasks.report.results import Results, numbers
from tessera.puzzle.studies.tasks.report.runs import runs

REPORT: Report[Results] = Report(
    texts={"results": tables.markdown, "samples": tables.samples},
    tables={"tasks": tables.tasks},
    figures={"retention": figures.retention},
    metrics=numbers,
    runs=runs,
)
