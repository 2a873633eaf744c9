"""The files of the tempotron study, read once, for its figures and tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, run_files
from tessera.common.run_files import RunRecord
from tessera.tempotron.existence import cover_probability


@dataclass(frozen=True)
class Results:
    """Tables as the stages wrote them, those of several jobs joined; runs by rule.

    capacity    capacities of K bins, a row a K                planted   overlap of typical solutions against load
    continuous  those of the potential in continuous time      maximum   quantiles of the maximum by K and source
    findable    what learning did, a row a task                existence counts of tasks, a row a size
    solutions   a row a pair of solutions                      ablation  a row a setting and task
    trace       a voltage trace by Brian2 and by us            accuracies a row a real task and split
    receptors   quantiles of the maximum on recorded spikes
    """

    capacity: pd.DataFrame
    continuous: pd.DataFrame
    planted: pd.DataFrame
    maximum: pd.DataFrame
    findable: pd.DataFrame
    existence: pd.DataFrame
    solutions: pd.DataFrame
    ablation: pd.DataFrame
    trace: pd.DataFrame
    accuracies: pd.DataFrame
    receptors: pd.DataFrame
    runs: dict[str, list[RunRecord]]

    def metrics(self, rule: str) -> dict[str, float]:
        """Metrics of a rule that has one run."""
        (run,) = self.runs[rule]
        return run.metrics

    def crossings(self) -> pd.DataFrame:
        """Loads at which half of the tasks are solved by learning, with 95 % intervals: a row a size N and K."""
        names = {"findable": "load", "findable_low": "low", "findable_high": "high"}
        rows = [
            {"n": run.params["n"], "k": run.params["k"]}
            | {column: run.metrics.get(name, np.nan) for name, column in names.items()}
            for run in self.runs["tempotron_findable"]
        ]
        return pd.DataFrame(rows).sort_values(["n", "k"], ignore_index=True)

    def existence_with_cover(self) -> pd.DataFrame:
        """Counts of tasks, their solvable fraction with its standard error, and Cover's probability at K = 1."""
        table = self.existence.sort_values(["k", "n", "patterns"], ignore_index=True)
        p = table["solvable"] / table["runs"]
        cover = [
            cover_probability(row.patterns, row.n) if row.k == 1 else np.nan for row in table.itertuples(index=False)
        ]
        return table.assign(fraction=p, error=np.sqrt(p * (1 - p) / table["runs"]), cover=cover)

    def clusters(self) -> pd.DataFrame:
        """Solutions by input, K and load: a row a run."""
        keys = ("inputs", "k", "load")
        rows = [{key: run.params[key] for key in keys} | run.metrics for run in self.runs["tempotron_solutions"]]
        return pd.DataFrame(rows).sort_values(list(keys), ignore_index=True)

    def accuracy(self) -> pd.DataFrame:
        """Test accuracies of each real task, mean over splits, with binomial standard errors over all test patterns."""
        names = ["tempotron", "tempotron_train", "logistic", "chance"]
        groups = self.accuracies.groupby("task")
        table = groups[names].mean()
        table["splits"] = groups.size()
        table["test_patterns"] = groups["n_test"].sum()
        for name in ("tempotron", "logistic"):
            table[f"{name}_error"] = np.sqrt(table[name] * (1 - table[name]) / table["test_patterns"])
        return table.reset_index()


def read(
    capacity: Path,
    continuous: Path,
    planted: Path,
    maximum: Sequence[Path],
    findable: Sequence[Path],
    existence: Sequence[Path],
    solutions: Sequence[Path],
    ablation: Path,
    trace: Path,
    accuracies: Path,
    receptors: Path,
    runs: Sequence[Path],
) -> Results:
    """Read the study's files; runs lie in a directory named after their rule."""
    by_rule: dict[str, list[RunRecord]] = {}
    for path in runs:
        by_rule.setdefault(path.parent.name, []).append(run_files.read(path))
    return Results(
        capacity=files.read_parquet(capacity),
        continuous=files.read_parquet(continuous),
        planted=files.read_parquet(planted),
        maximum=_joined(maximum),
        findable=_joined(findable),
        existence=_joined(existence),
        solutions=_joined(solutions),
        ablation=files.read_parquet(ablation),
        trace=files.read_parquet(trace),
        accuracies=files.read_parquet(accuracies),
        receptors=files.read_parquet(receptors),
        runs=by_rule,
    )


def _joined(paths: Sequence[Path]) -> pd.DataFrame:
    return pd.concat([files.read_parquet(path) for path in paths], ignore_index=True)
