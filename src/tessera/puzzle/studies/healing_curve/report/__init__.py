"""Results of the study of how many tokens healing needs, from its result files."""

from tessera.common.publish import Report
from tessera.puzzle.studies.healing_curve.report import figures, tables
from tessera.puzzle.studies.healing_curve.report.results import Results
from tessera.puzzle.studies.healing_curve.report.runs import runs

REPORT: Report[Results] = Report(
    texts={"results": tables.markdown},
    tables={"points": tables.points},
    figures={"curves": figures.curves},
    metrics=tables.numbers,
    runs=runs,
)
