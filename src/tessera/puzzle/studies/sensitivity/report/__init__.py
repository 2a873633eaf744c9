"""Results of the search's sensitivity, from its result files."""

from tessera.common.publish import Report
from tessera.puzzle.studies.sensitivity.report import figures, tables
from tessera.puzzle.studies.sensitivity.report.results import Results
from tessera.puzzle.studies.sensitivity.report.runs import runs

REPORT: Report[Results] = Report(
    texts={},
    tables={"draws": tables.draws},
    figures={"choices": figures.choices},
    metrics=tables.metrics,
    runs=runs,
)
