"""What the main chain found, from its result files."""

from tessera.common.publish import Report
from tessera.puzzle.report import choice_figures, measurement_figures, tables, training_figures, words
from tessera.puzzle.report.results import Results
from tessera.puzzle.report.runs import runs

REPORT: Report[Results] = Report(
    texts={"results": words.results},
    tables={
        "results": tables.children,
        "frontier": tables.frontier,
        "costs": tables.costs,
        "library": tables.library,
        "evaluation": tables.evaluation,
    },
    figures={
        "frontier": choice_figures.frontier,
        "choices": choice_figures.choices,
        "layer_costs": choice_figures.layer_costs,
        "prediction": measurement_figures.prediction,
        "evaluation": measurement_figures.evaluation,
        "scores": training_figures.scores,
        "library": training_figures.library,
        "training": training_figures.training,
        "healing": training_figures.healing,
    },
    metrics=tables.metrics,
    runs=runs,
)
