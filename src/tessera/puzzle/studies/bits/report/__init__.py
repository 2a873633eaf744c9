"""Results of the search for structure and bits, from its result files."""

from tessera.common.publish import Report
from tessera.puzzle.studies.bits.report import figures, tables
from tessera.puzzle.studies.bits.report.results import Results
from tessera.puzzle.studies.bits.report.runs import runs

REPORT: Report[Results] = Report(
    texts={"results": tables.markdown},
    tables={"children": tables.children},
    figures={"frontier": figures.frontier},
    metrics=tables.metrics,
    runs=runs,
)
