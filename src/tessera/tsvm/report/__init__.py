"""What the T-SVM study found, from its result files."""

from tessera.common.publish import Report
from tessera.tsvm.report import margin_figures, noise_figures, tables, texts
from tessera.tsvm.report.results import Results
from tessera.tsvm.report.runs import runs

REPORT: Report[Results] = Report(
    texts={"results": texts.markdown, "summary": texts.summary},
    tables={
        "margins": tables.margins,
        "loads": tables.loads,
        "soft": tables.soft,
        "critical": tables.critical,
        "kernels": tables.kernels,
        "speech": tables.speech,
    },
    figures={
        "voltage": margin_figures.voltage,
        "certificate": margin_figures.certificate,
        "load": margin_figures.load,
        "noise": noise_figures.noise,
        "prediction": noise_figures.prediction,
        "sweep": noise_figures.sweep,
        "xor": noise_figures.xor,
        "speech": noise_figures.speech,
    },
    metrics=tables.metrics,
    runs=runs,
)
