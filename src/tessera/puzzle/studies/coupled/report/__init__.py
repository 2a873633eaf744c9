"""Results of coupled distillation, from its result files."""

from tessera.common.publish import Report
from tessera.puzzle.studies.coupled.report import figures, tables
from tessera.puzzle.studies.coupled.report.results import Results
from tessera.puzzle.studies.coupled.report.runs import runs

REPORT: Report[Results] = Report(
    texts={"results": tables.markdown},
    tables={"pairs": tables.pairs, "children": tables.children},
    figures={"coupled": figures.coupled},
    metrics=tables.numbers,
    runs=runs,
)
