"""The files of the T-SVM study, read once, for its figures and tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tessera.common import files, run_files
from tessera.common.association import geometric_mean, interval, of, partial_spearman, spearman
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord


@dataclass(frozen=True)
class Results:
    """Tables as the stages wrote them, those of several jobs joined; runs by rule.

    rounds   bounds on the margin, a row a problem, variant and round   trace    potential and envelope of one problem
    support  its temporal support vectors                               soft     optima by slack penalty
    steps    margins by the online rule                                 load     a row a problem at some load
    curves   scores by problem, method, noise and level                 critical the noise at which half of trials fail
    sweep    margins by tau_c and hold window                           kernels  margins of the exclusive-or
    xor      its noisy scores by kernel and level                       speech   accuracies, a row a pair of speakers
    bootstrap  resamples of the problems for intervals, and the seed of its stream
    """

    rounds: pd.DataFrame
    trace: pd.DataFrame
    support: pd.DataFrame
    soft: pd.DataFrame
    steps: pd.DataFrame
    load: pd.DataFrame
    curves: pd.DataFrame
    critical: pd.DataFrame
    sweep: pd.DataFrame
    kernels: pd.DataFrame
    xor: pd.DataFrame
    speech: pd.DataFrame
    runs: dict[str, list[RunRecord]]
    bootstrap: tuple[int, int]

    def metrics(self, rule: str) -> dict[str, float]:
        """Metrics of a rule that has one run."""
        (run,) = self.runs[rule]
        return run.metrics

    def settings(self, rule: str) -> dict[str, Any]:
        """Parameters of a rule that has one run."""
        (run,) = self.runs[rule]
        return run.params

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

    def by_method(self) -> pd.DataFrame:
        """Critical noise by noise and method: geometric mean over problems, and that of its ratio to the T-SVM's, with
        a bootstrap interval over problems of 95 %; problems on which the method did not converge count as they are."""
        rows = []
        for kind, one in self.critical.groupby("kind", sort=False):
            table = np.log(one.pivot(index="problem", columns="method", values="critical"))
            converged = one.groupby("method")["converged"].mean()
            for method in one["method"].unique():
                ratio = (table[method] - table["tsvm"]).to_numpy() if "tsvm" in table else np.zeros(len(table))
                row = {"kind": kind, "method": method, "converged": converged[method], "problems": len(table)}
                row |= {"critical": np.exp(table[method].mean())}
                row |= self._interval("ratio", of(geometric_mean, ratio), len(ratio))
                rows.append(row)
        return pd.DataFrame(rows)

    def rank_correlations(self) -> pd.DataFrame:
        """How predictions rank the T-SVM's measured critical noise over problems, beside what trivially ranks it.

        One row per noise and prediction. spearman: rank correlation; null: that of the number of targets alone, fewest
        first; partial: that of the prediction given the number of targets; within: that within groups of equally many
        targets, mean over groups; measured_over_predicted: geometric mean. Intervals (_low, _high) are 95 % bootstrap
        intervals over problems.
        """
        rows = []
        for kind, one in self.critical[self.critical["method"] == "tsvm"].groupby("kind", sort=False):
            measured, targets = one["critical"].to_numpy(), one["targets"].to_numpy()
            for name in ("by_margin", "by_survival"):
                x = one[name].to_numpy()
                logs, groups = np.log(measured / x), [g for _, g in one.groupby("targets") if len(g) > 2]
                within = float(np.mean([spearman(g["critical"], g[name]) for g in groups])) if groups else np.nan
                row = {"kind": kind, "prediction": name, "problems": len(one)}
                row |= self._interval("spearman", of(spearman, x, measured), len(x))
                row |= {"null": spearman(-targets, measured), "within": within}
                row |= self._interval("partial", of(partial_spearman, x, measured, targets), len(x))
                row |= self._interval("measured_over_predicted", of(geometric_mean, logs), len(x))
                rows.append(row)
        return pd.DataFrame(rows)

    def timing(self) -> pd.DataFrame:
        """Measured over predicted rms shift of the T-SVM's spikes, pooled over problems, by noise and level; problems
        and levels with an error in some trial are left out, as the prediction is of spikes that are there."""
        table = self.curves[(self.curves["method"] == "tsvm") & (self.curves["perfect"] == 1)]
        table = table.assign(predicted=table["level"] * table["timing"])
        groups = table.groupby(["kind", "level"], sort=False)
        found = groups.apply(
            lambda g: pd.Series(
                {
                    "problems": float(len(g)),
                    "shift": np.sqrt((g["shift"] ** 2).mean()),
                    "predicted": np.sqrt((g["predicted"] ** 2).mean()),
                }
            ),
            include_groups=False,
        ).reset_index()
        return found.assign(ratio=found["shift"] / found["predicted"])

    def speech_means(self) -> dict[str, dict[str, float | None]]:
        """Accuracies, means over pairs of speakers, each with value, low and high.

        relative is that of the T-SVM over the tempotron's, chance_relative that of always naming the larger class.
        """
        table = self.speech
        names = ("timed", "binary", "svm", "tempotron", "logistic", "on_time", "chance")
        columns = {name: table[name].to_numpy(float) for name in names}
        found = {name: self._drawn(of(np.mean, v), len(table)) for name, v in columns.items()}
        other = columns["tempotron"]
        for name, v in (("relative", columns["timed"]), ("chance_relative", columns["chance"])):
            found[name] = self._drawn(of(_quotient, v, other), len(table))
        return found

    def _generator(self) -> np.random.Generator:
        """The stream of every interval, so that all are over the same resamples of problems."""
        return generator(self.bootstrap[1], "tsvm", "bootstrap")

    def _drawn(self, statistic: Callable[[np.ndarray], float], count: int) -> dict[str, float | None]:
        """value, low and high of a statistic of chosen problems (indices of `count`)."""
        return interval(statistic, count, self.bootstrap[0], self._generator())

    def _interval(self, name: str, statistic: Callable[[np.ndarray], float], count: int) -> dict[str, float]:
        """The same as columns NAME, NAME_low and NAME_high; nan for what is undefined."""
        ends = zip(("", "_low", "_high"), self._drawn(statistic, count).values(), strict=True)
        return {name + end: np.nan if value is None else value for end, value in ends}


def _quotient(first: np.ndarray, second: np.ndarray) -> float:
    """Mean of one over the mean of the other."""
    return float(first.mean() / second.mean())


def read(
    rounds: Sequence[Path],
    trace: Path,
    support: Path,
    soft: Sequence[Path],
    steps: Sequence[Path],
    load: Sequence[Path],
    curves: Sequence[Path],
    critical: Sequence[Path],
    sweep: Path,
    kernels: Path,
    xor: Path,
    speech: Path,
    runs: Sequence[Path],
    bootstrap: tuple[int, int],
) -> Results:
    """Read the study's files; runs lie in a directory named after their rule."""
    by_rule: dict[str, list[RunRecord]] = {}
    for path in runs:
        by_rule.setdefault(path.parent.name, []).append(run_files.read(path))
    return Results(
        rounds=_joined(rounds),
        trace=files.read_parquet(trace),
        support=files.read_parquet(support),
        soft=_joined(soft),
        steps=_joined(steps),
        load=_joined(load),
        curves=_joined(curves),
        critical=_joined(critical),
        sweep=files.read_parquet(sweep),
        kernels=files.read_parquet(kernels),
        xor=files.read_parquet(xor),
        speech=files.read_parquet(speech),
        runs=by_rule,
        bootstrap=bootstrap,
    )


def _joined(paths: Sequence[Path]) -> pd.DataFrame:
    return pd.concat([files.read_parquet(path) for path in paths], ignore_index=True)
