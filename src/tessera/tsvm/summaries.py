"""The numbers of the study, from its tables: of single jobs, and over all problems, with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tessera.common.association import geometric_mean, interval, of, partial_spearman, spearman
from tessera.common.randomness import generator

#: Statuses of a fit with the hard margin.
STATUSES = ("certified", "feasible", "infeasible", "undecided")
#: Those with a proved margin.
FEASIBLE = ("certified", "feasible")


@dataclass(frozen=True)
class Bootstrap:
    """95 % intervals over problems, all over the same resamples: each draws from a new copy of one random stream."""

    draws: int
    seed: int

    def interval(self, statistic: Callable[[np.ndarray], float], count: int) -> dict[str, float | None]:
        """value, low and high of a statistic of chosen problems (indices of `count`)."""
        return interval(statistic, count, self.draws, generator(self.seed, "tsvm", "bootstrap"))

    def columns(self, name: str, statistic: Callable[[np.ndarray], float], count: int) -> dict[str, float]:
        """The same as columns NAME, NAME_low and NAME_high; nan for what is undefined."""
        ends = zip(("", "_low", "_high"), self.interval(statistic, count).values(), strict=True)
        return {name + end: np.nan if value is None else value for end, value in ends}


def load_metrics(rows: pd.DataFrame) -> dict[str, float]:
    """Of the problems at one load: shares by status, mean scores, and the median margin if any has one."""
    feasible = rows["status"].isin(FEASIBLE)
    metrics = {"load": float(rows["load"].iloc[0]), "feasible": float(feasible.mean())}
    metrics |= {f"status_{name}": float((rows["status"] == name).mean()) for name in STATUSES}
    metrics |= {f"{name}_f1": float(rows[f"{name}_f1"].mean()) for name in ("soft", "perceptron")}
    if feasible.any():
        metrics["margin_median"] = float(rows.loc[feasible, "low"].median())
    return metrics


def loads(table: pd.DataFrame) -> pd.DataFrame:
    """Margins, feasible fraction and scores, one row per load, with standard errors over problems."""
    table = table.assign(feasible=table["status"].isin(FEASIBLE))
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


def feasible_rises(by_load: pd.DataFrame) -> int:
    """Steps of the load at which the feasible fraction rises by more than two standard errors."""
    table = by_load.sort_values("load")
    step = table["feasible"].diff()
    error = (table["feasible_error"] ** 2 + table["feasible_error"].shift() ** 2) ** 0.5
    return int((step > 2 * error.clip(lower=1 / table["problems"].min())).sum())


def noise_metrics(curves: pd.DataFrame, critical: pd.DataFrame) -> dict[str, float]:
    """Of one method on one problem: how its training ended, critical levels, and F1 at every level."""
    metrics = {name: float(critical[name].iloc[0]) for name in ("converged", "steps")}
    metrics |= {f"critical_{row.kind}": float(row.critical) for row in critical.itertuples()}
    return metrics | {f"f1_{row.kind}_{row.level:g}": float(row.f1) for row in curves.itertuples()}


def by_method(critical: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """Critical noise by kind and method: geometric mean over problems, and its ratio to the T-SVM's with an interval.

    Problems on which a method did not converge count as they are.
    """
    rows = []
    for kind, group in critical.groupby("kind", sort=False):
        table = np.log(group.pivot(index="problem", columns="method", values="critical"))
        converged = group.groupby("method")["converged"].mean()
        for method in group["method"].unique():
            ratio = (table[method] - table["tsvm"]).to_numpy() if "tsvm" in table else np.zeros(len(table))
            row = {"kind": kind, "method": method, "converged": converged[method], "problems": len(table)}
            row |= {"critical": np.exp(table[method].mean())}
            row |= bootstrap.columns("ratio", of(geometric_mean, ratio), len(ratio))
            rows.append(row)
    return pd.DataFrame(rows)


def rank_correlations(critical: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """How predictions rank the T-SVM's measured critical noise over problems, and what ranks it trivially.

    One row per kind of noise and prediction. spearman: rank correlation; null: that of the number of targets alone,
    fewest first; partial: that of the prediction given the number of targets; within: that within groups of equally
    many targets, mean over groups; measured_over_predicted: geometric mean. Intervals (_low, _high) are over problems.
    """
    rows = []
    for kind, group in critical[critical["method"] == "tsvm"].groupby("kind", sort=False):
        measured, targets = group["critical"].to_numpy(), group["targets"].to_numpy()
        for name in ("by_margin", "by_survival"):
            x = group[name].to_numpy()
            logs, equal = np.log(measured / x), [g for _, g in group.groupby("targets") if len(g) > 2]
            within = float(np.mean([spearman(g["critical"], g[name]) for g in equal])) if equal else np.nan
            row = {"kind": kind, "prediction": name, "problems": len(group)}
            row |= bootstrap.columns("spearman", of(spearman, x, measured), len(x))
            row |= {"null": spearman(-targets, measured), "within": within}
            row |= bootstrap.columns("partial", of(partial_spearman, x, measured, targets), len(x))
            row |= bootstrap.columns("measured_over_predicted", of(geometric_mean, logs), len(x))
            rows.append(row)
    return pd.DataFrame(rows)


def timing(curves: pd.DataFrame) -> pd.DataFrame:
    """Measured over predicted rms shift of the T-SVM's spikes, pooled over problems, by kind of noise and level.

    Problems and levels with an error in some trial are left out, because the prediction is of spikes that are there.
    """
    table = curves[(curves["method"] == "tsvm") & (curves["perfect"] == 1)]
    table = table.assign(predicted=table["level"] * table["timing"])
    groups = table.groupby(["kind", "level"], sort=False)
    pooled = groups.apply(
        lambda g: pd.Series(
            {
                "problems": float(len(g)),
                "shift": np.sqrt((g["shift"] ** 2).mean()),
                "predicted": np.sqrt((g["predicted"] ** 2).mean()),
            }
        ),
        include_groups=False,
    ).reset_index()
    return pooled.assign(ratio=pooled["shift"] / pooled["predicted"])


def sweep_metrics(table: pd.DataFrame) -> dict[str, float]:
    """How often a longer hold window has the larger margin, the feasible share, and mean F1 by tau_c and hold."""
    metrics = {"rises_with_hold": float(_rises_with_hold(table)), "feasible": float((table["low"] > 0).mean())}
    for (tau_c, hold), group in table.groupby(["tau_c", "hold"]):
        if group["f1"].notna().any():
            metrics |= {f"f1_{tau_c:g}_{hold:g}": float(group["f1"].mean())}
    return metrics


def _rises_with_hold(table: pd.DataFrame) -> int:
    """Pairs of neighbouring hold windows whose proved margins rise with the window."""
    count = 0
    for _, group in table.sort_values("hold").groupby(["problem", "tau_c"]):
        count += int((group["low"].to_numpy()[1:] > group["up"].to_numpy()[:-1] * (1 + 1e-9)).sum())
    return count


def kernel_metrics(margins: pd.DataFrame, noise: pd.DataFrame) -> dict[str, float]:
    """Status and margin by kernel, and the share of noisy patterns on which it is right by kind of noise and level.

    Names of kernels are without commas, which MLflow does not accept.
    """
    metrics = {"infeasible": float((margins["status"] == "infeasible").sum())}
    for row in margins.itertuples():
        name = row.kernel.replace(",", "")
        metrics |= {f"{name}: certified": float(row.status == "certified"), f"{name}: margin": row.low}
    return metrics | {
        f"{row.kernel.replace(',', '')}: {row.kind} {row.level:g}": row.right for row in noise.itertuples()
    }


def speech_means(table: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, dict[str, float | None]]:
    """Accuracies, means over pairs of speakers, each with value, low and high.

    relative is that of the T-SVM over the tempotron's, chance_relative that of always naming the larger class.
    """
    names = ("timed", "binary", "svm", "tempotron", "logistic", "on_time", "chance")
    columns = {name: table[name].to_numpy(float) for name in names}
    means = {name: bootstrap.interval(of(np.mean, v), len(table)) for name, v in columns.items()}
    other = columns["tempotron"]
    for name, v in (("relative", columns["timed"]), ("chance_relative", columns["chance"])):
        means[name] = bootstrap.interval(of(_quotient, v, other), len(table))
    return means


def _quotient(first: np.ndarray, second: np.ndarray) -> float:
    """Mean of one over the mean of the other."""
    return float(first.mean() / second.mean())
