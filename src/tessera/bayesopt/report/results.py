"""The result files of a benchmark, and of a study of the workflow, read once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from tessera.bayesopt import benchmark, functions
from tessera.bayesopt.params import StudyParams, SuiteParams
from tessera.bayesopt.trial import Trial
from tessera.common import files
from tessera.common.files import Json

#: What tells runs of a benchmark apart.
KEYS = ["function", "sampler", "seed", "schedule"]


@dataclass(frozen=True, eq=False)
class SuiteResults:
    """All runs of one benchmark. Compared by identity, so that tables are computed once."""

    name: str
    suite: SuiteParams
    seed: int
    evaluations: pd.DataFrame
    """One row per evaluation, in the order of the suite's params."""
    costs: list[Json]
    """CPU seconds of proposals, per run."""

    @cached_property
    def asynchronous(self) -> pd.DataFrame:
        """Evaluations of the runs by which samplers are compared."""
        return self.evaluations[self.evaluations["schedule"] == "async"]

    @cached_property
    def finals(self) -> pd.DataFrame:
        """One row per run; see `finals`."""
        return finals(self.evaluations)


@dataclass(frozen=True)
class StudyResults:
    """All trials of one study, by id, with what they cost and how they held with other seeds."""

    name: str
    params: StudyParams
    trials: list[Trial]
    seconds: list[float]
    confirmations: list[Json]


def read_suite(
    name: str, suite: SuiteParams, seed: int, evaluations: Sequence[Path], costs: Sequence[Path]
) -> SuiteResults:
    """Read the files of all jobs. Raises OSError and ValueError."""
    table = pd.concat([files.read_parquet(path) for path in evaluations], ignore_index=True)
    for column, names in (("function", suite.functions), ("sampler", list(suite.samplers))):
        table[column] = pd.Categorical(table[column], names, ordered=True)
    table = table.sort_values([*KEYS, "trial"], kind="stable", ignore_index=True)
    return SuiteResults(name, suite, seed, table, [cost for path in costs for cost in files.read_json(path)])


def read_study(
    name: str, params: StudyParams, results: Sequence[Path], costs: Sequence[Path], confirmations: Sequence[Path]
) -> StudyResults:
    """Read the files of all trials: results in any order, costs in that of trials. Raises OSError and ValueError."""
    trials = [Trial.from_json(files.read_json(path), str(path)) for path in results]
    return StudyResults(
        name,
        params,
        sorted(trials, key=lambda trial: trial.id),
        [float(files.read_json(path)["seconds"]) for path in costs],
        [files.read_json(path) for path in confirmations],
    )


def runs(evaluations: pd.DataFrame) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """Yield each run by function, sampler, seed and schedule, with the axes that its function has."""
    for key, run in evaluations.groupby(KEYS, observed=True, sort=True):
        yield tuple(key), run.dropna(axis="columns", how="all")


def finals(evaluations: pd.DataFrame) -> pd.DataFrame:
    """One row per run: regret at the end, makespan, edge enrichment, rate of repeats and share of each kind."""
    rows = []
    for key, run in runs(evaluations):
        free = functions.get(key[0]).space.free
        rows.append(
            dict(zip(KEYS, key, strict=True))
            | {
                "regret": float(benchmark.regret_by_evaluation(run)[-1]),
                "makespan": float(run["ended"].max()),
                "edges": benchmark.edge_enrichment(run, 2 * free),
                "repeats": benchmark.repeat_rate(run),
            }
            | {f"kind_{kind}": float((run["kind"] == kind).mean()) for kind in ("thompson", "poll", "random")}
        )
    return pd.DataFrame(rows)
