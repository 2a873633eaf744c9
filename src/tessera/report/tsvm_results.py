"""The files of the T-SVM study, read once, for its figures and tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tessera.common import files, tracking
from tessera.common.tracking import RunRecord


@dataclass(frozen=True)
class Results:
    """Tables as the stages wrote them, those of several jobs joined; runs by rule.

    rounds   bounds on the margin, a row a problem, variant and round   trace    potential and envelope of one problem
    support  its temporal support vectors                               soft     optima by slack penalty
    steps    margins by the online rule                                 load     a row a problem at some load
    """

    rounds: pd.DataFrame
    trace: pd.DataFrame
    support: pd.DataFrame
    soft: pd.DataFrame
    steps: pd.DataFrame
    load: pd.DataFrame
    runs: dict[str, list[RunRecord]]

    def problems(self) -> pd.DataFrame:
        """Bounds on the margins of the reference problems: a row a problem."""
        rows = [{"problem": run.params["problem"]} | run.params | run.metrics for run in self.runs["tsvm_problem"]]
        return pd.DataFrame(rows).sort_values("problem", ignore_index=True)

    def loads(self) -> pd.DataFrame:
        """Margins, feasible fraction and scores, a row a load, with standard errors over problems."""
        table = self.load.assign(feasible=self.load["status"].isin(["certified", "feasible"]))
        table["undecided"] = table["status"] == "undecided"
        table["margin"] = table["low"].where(table["feasible"])
        groups = table.groupby(["targets", "load"])
        names = ["feasible", "undecided", "soft_f1", "perceptron_f1", "perceptron_converged"]
        means = groups[names].mean()
        means["problems"] = groups.size()
        means["feasible_error"] = (means["feasible"] * (1 - means["feasible"]) / means["problems"]) ** 0.5
        for name in ("soft_f1", "perceptron_f1"):
            means[f"{name}_error"] = groups[name].sem()
        quantiles = groups["margin"].quantile([0.25, 0.5, 0.75]).unstack()
        quantiles.columns = ["margin_low", "margin_median", "margin_high"]
        return means.join(quantiles).reset_index()


def read(
    rounds: Sequence[Path],
    trace: Sequence[Path],
    support: Sequence[Path],
    soft: Sequence[Path],
    steps: Sequence[Path],
    load: Sequence[Path],
    runs: Sequence[Path],
) -> Results:
    """Read the study's files; runs lie in a directory named after their rule."""
    by_rule: dict[str, list[RunRecord]] = {}
    for path in runs:
        by_rule.setdefault(path.parent.name, []).append(tracking.read(path))
    return Results(
        rounds=_joined(rounds),
        trace=_joined(trace),
        support=_joined(support),
        soft=_joined(soft),
        steps=_joined(steps),
        load=_joined(load),
        runs=by_rule,
    )


def _joined(paths: Sequence[Path]) -> pd.DataFrame:
    return pd.concat([files.read_parquet(path) for path in paths], ignore_index=True)
