"""Results of the cost model's validation."""

from tessera.common.publish import Report
from tessera.puzzle.studies.cost_validation.report import figures, tables
from tessera.puzzle.studies.cost_validation.report.results import Results
from tessera.puzzle.studies.cost_validation.report.runs import runs

REPORT: Report[Results] = Report(
    texts={"results": tables.markdown},
    tables={
        "throughput": tables.throughput,
        "interpolation": tables.interpolation,
        "gpus": tables.gpus,
        "roofline": tables.roofline,
    },
    figures={
        "throughput": figures.throughput,
        "interpolation": figures.interpolation,
        "roofline": figures.roofline,
    },
    metrics=tables.metrics,
    runs=runs,
)
