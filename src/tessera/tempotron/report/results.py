"""The files of the tempotron study, read once, and what follows from several of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tessera.common import files
from tessera.common.files import Json
from tessera.tempotron.existence import cover_probability
from tessera.tempotron.params import TempotronParams


@dataclass(frozen=True)
class Results:
    """Everything that the study wrote; the files of several jobs are joined."""

    params: TempotronParams
    seed: int
    capacity: pd.DataFrame
    """Capacities of bins, one row per K."""
    continuous: pd.DataFrame
    """Capacities of the potential in continuous time, one row per K."""
    planted: pd.DataFrame
    """Load against the overlap of typical solutions."""
    maximum: pd.DataFrame
    """Quantiles of the maximum by K and source."""
    distances: list[Json]
    """Medians of the maximum and distances from its laws, by K."""
    findable: pd.DataFrame
    """What learning did, one row per task."""
    crossings: pd.DataFrame
    """Loads at which learning solves half of the tasks, with 95 % intervals, one row per size n and K."""
    existence: pd.DataFrame
    """Counts of verdicts, one row per size and number of patterns."""
    solutions: pd.DataFrame
    """One row per pair of solutions of a task."""
    summaries: list[Json]
    """Numbers of solutions and clusters, and the mean walk, by input, K and load."""
    ablation: pd.DataFrame
    """One row per setting and task."""
    trace: pd.DataFrame
    """The potential of a pattern, by Brian2 and in closed form."""
    checks: dict[str, float]
    """How well Brian2 agrees with the closed form."""
    accuracies: pd.DataFrame
    """One row per real task and split."""
    receptors: pd.DataFrame
    """Quantiles of the maximum on recorded spikes."""
    statistics: dict[str, float]
    """Of the maximum on recorded spikes."""

    def solvable(self) -> pd.DataFrame:
        """Verdicts, solvable fraction with its standard error, and Cover's probability at K = 1, else NaN."""
        table = self.existence.sort_values(["k", "n", "patterns"], ignore_index=True)
        p = table["solvable"] / table["runs"]
        cover = [
            cover_probability(row.patterns, row.n) if row.k == 1 else np.nan for row in table.itertuples(index=False)
        ]
        return table.assign(fraction=p, error=np.sqrt(p * (1 - p) / table["runs"]), cover=cover)

    def clusters(self) -> pd.DataFrame:
        """One row per input, K and load: counts of tasks, solutions, clusters; end of the walk; means over pairs."""
        keys = ["inputs", "k", "load"]
        pairs = {key: group for key, group in self.solutions.groupby(keys)}
        rows = []
        for summary in self.summaries:
            row = {name: value for name, value in summary.items() if name != "walk"}
            row["walk_overlap"] = summary["walk"][-1][1] if summary["walk"] else 1.0
            group = pairs.get(tuple(summary[key] for key in keys))
            if group is not None:
                means = group[["overlap", "overlap_centred", "chord_accuracy"]].mean()
                row |= {f"mean_{name}": float(value) for name, value in means.items()}
                row["connected_pairs"] = float((group["chord_accuracy"] >= 1).mean())
            rows.append(row)
        return pd.DataFrame(rows).sort_values(keys, ignore_index=True)

    def accuracy(self) -> pd.DataFrame:
        """One row per real task: accuracies, mean over splits, with binomial standard errors over all test patterns."""
        names = ["tempotron", "tempotron_train", "logistic", "chance"]
        groups = self.accuracies.groupby("task")
        table = groups[names].mean()
        table["splits"] = groups.size()
        table["test_patterns"] = groups["n_test"].sum()
        for name in ("tempotron", "logistic"):
            table[f"{name}_error"] = np.sqrt(table[name] * (1 - table[name]) / table["test_patterns"])
        return table.reset_index()

    def of_ablation(self) -> dict[str, float]:
        """Solved fractions by momentum, over all rates, without margin; accuracies under jitter by margin."""
        plain = self.ablation[self.ablation["margin"] == 0]
        momentum, rate = self.params.ablation.compared
        compared = self.ablation[(self.ablation["momentum"] == momentum) & (self.ablation["rate"] == rate)]
        return {f"solved_momentum_{key}": float(group.mean()) for key, group in plain.groupby("momentum")["solved"]} | {
            f"jittered_margin_{key}": float(group.mean())
            for key, group in compared.groupby("margin")["jittered_accuracy"]
        }

    def of_real(self) -> dict[str, float]:
        """Statistics of the receptors, and accuracies of each task, mean over splits."""
        means = {
            f"{task}_{name}": float(group[name].mean())
            for task, group in self.accuracies.groupby("task")
            for name in ("tempotron", "logistic", "chance")
        }
        return self.statistics | means


def read(params: TempotronParams, seed: int, **paths: Path | Sequence[Path]) -> Results:
    """Read the files of the fields of Results; one field may have several. Raises OSError and ValueError."""
    contents: dict[str, Any] = {
        name: _content(path) if isinstance(path, Path) else _joined(path) for name, path in paths.items()
    }
    contents["crossings"] = pd.DataFrame(contents["crossings"]).sort_values(["n", "k"], ignore_index=True)
    for name in ("load", "low", "high"):
        contents["crossings"][name] = contents["crossings"][name].astype(float)
    return Results(params, seed, **contents)


def _content(path: Path) -> Any:
    return files.read_json(path) if path.suffix == ".json" else files.read_parquet(path)


def _joined(paths: Sequence[Path]) -> Any:
    """One table below the other, or a list of what JSON files hold."""
    contents = [_content(path) for path in paths]
    return contents if paths[0].suffix == ".json" else pd.concat(contents, ignore_index=True)
