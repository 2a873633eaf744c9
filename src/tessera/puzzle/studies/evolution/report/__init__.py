"""Results of the searches on true KL, from their result files."""

from tessera.common.publish import Report
from tessera.puzzle.studies.evolution.report import figures, tables
from tessera.puzzle.studies.evolution.report.results import Results
from tessera.puzzle.studies.evolution.report.runs import runs

REPORT: Report[Results] = Report(
    texts={"results": tables.markdown},
    tables={"searches": tables.searches},
    figures={"search": figures.search},
    metrics=tables.metrics,
    runs=runs,
)
