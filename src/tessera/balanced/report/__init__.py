"""The report of the balanced-networks study, made from its result files."""

from tessera.balanced.report import network_figures, tables, task_figures
from tessera.balanced.report.results import Results
from tessera.balanced.report.runs import runs
from tessera.common.publish import Report

REPORT: Report[Results] = Report(
    texts={"results": tables.markdown, "summary": tables.summary},
    tables={
        "feasibility": tables.feasibility,
        "margins": tables.margins,
        "weights": tables.weights,
        "learning": tables.learning,
        "spiking": tables.spiking,
        "attractors": tables.attractors,
    },
    figures={
        "capacity": task_figures.capacity,
        "feasibility": task_figures.feasibility,
        "margins": task_figures.margins,
        "scaling": task_figures.scaling,
        "weights": task_figures.weights,
        "learning": network_figures.learning,
        "spiking": network_figures.spiking,
        "attractors": network_figures.attractors,
    },
    metrics=tables.metrics,
    runs=runs,
)
