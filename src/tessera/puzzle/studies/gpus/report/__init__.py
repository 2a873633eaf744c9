"""Results of the children on several GPUs, from the result file."""

from tessera.common.publish import Report
from tessera.puzzle.studies.gpus.report import figures, tables
from tessera.puzzle.studies.gpus.report.results import Results
from tessera.puzzle.studies.gpus.report.runs import runs

REPORT: Report[Results] = Report(
    texts={},
    tables={"children": tables.children},
    figures={"children": figures.children},
    metrics=tables.metrics,
    runs=runs,
)
