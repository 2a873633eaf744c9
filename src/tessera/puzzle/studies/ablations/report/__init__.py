"""Results of the ablations, from their result files."""

from tessera.common.publish import Report
from tessera.puzzle.studies.ablations.report import figures, tables
from tessera.puzzle.studies.ablations.report.results import Results
from tessera.puzzle.studies.ablations.report.runs import runs

REPORT: Report[Results] = Report(
    texts={"results": tables.markdown},
    tables={"blocks": tables.blocks, "cases": tables.cases},
    figures={"blocks": figures.blocks, "flops": figures.flops, "cases": figures.cases},
    metrics=tables.metrics,
    runs=runs,
)
