"""The reports of a benchmark of optimisers and of a study of the workflow, from their result files."""

from tessera.bayesopt.report import study, suite_figures, tables
from tessera.bayesopt.report.results import StudyResults, SuiteResults
from tessera.bayesopt.report.runs import study_runs, suite_runs
from tessera.common.publish import Report

SUITE_REPORT: Report[SuiteResults] = Report(
    texts={"results": tables.markdown},
    tables={"regrets": tables.regrets, "comparison": tables.comparison, "lag": tables.lag},
    figures={
        "proposals": suite_figures.proposals,
        "regret": suite_figures.regret,
        "edges": suite_figures.edges,
        "lag": suite_figures.lag,
    },
    metrics=tables.metrics,
    runs=suite_runs,
)
STUDY_REPORT: Report[StudyResults] = Report(
    texts={},
    tables={"trials": study.trials},
    figures={"trace": study.trace},
    metrics=study.metrics,
    runs=study_runs,
)
