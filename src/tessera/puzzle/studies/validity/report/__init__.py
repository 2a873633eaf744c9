"""Results of the validity study, from its result files."""

from tessera.common.publish import Report
from tessera.puzzle.studies.validity.report import figures, tables
from tessera.puzzle.studies.validity.report.numbers import numbers
from tessera.puzzle.studies.validity.report.results import Results
from tessera.puzzle.studies.validity.report.runs import runs

REPORT: Report[Results] = Report(
    texts={"results": tables.markdown},
    tables={
        "children": tables.children,
        "composed": tables.composed,
        "optimum": tables.optimum,
        "time": tables.time,
    },
    figures={
        "kl": figures.kl,
        "bias": figures.bias,
        "composed": figures.composed,
        "optimum": figures.optimum,
        "time": figures.time,
    },
    metrics=numbers,
    runs=runs,
)
