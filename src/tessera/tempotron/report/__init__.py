"""The report of the tempotron study, made from its result files."""

from tessera.common.publish import Report
from tessera.tempotron.report import capacity_figures, space_figures, tables
from tessera.tempotron.report.results import Results
from tessera.tempotron.report.runs import runs

REPORT: Report[Results] = Report(
    texts={"results": tables.markdown},
    tables={
        "theory": tables.theory,
        "findable": tables.findable,
        "solvable": tables.solvable,
        "clusters": tables.clusters,
        "accuracy": tables.accuracy,
    },
    figures={
        "capacity": capacity_figures.capacity,
        "existence": capacity_figures.existence,
        "ablation": capacity_figures.ablation,
        "trace": capacity_figures.trace,
        "maximum": space_figures.maximum,
        "planted": space_figures.planted,
        "overlaps": space_figures.overlaps,
        "walk": space_figures.walk,
        "real": space_figures.real,
    },
    metrics=tables.metrics,
    runs=runs,
)
