"""Optimisers compared: runs on a simulated clock, regret, likeness to the edge, repeats, and paired statistics."""

import heapq
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy.stats import qmc

from tessera.bayesopt.functions import Function
from tessera.bayesopt.params import Mode
from tessera.bayesopt.study import Optimizer
from tessera.common import randomness
from tessera.common.statistics import clustered_interval, percentile_interval

#: Distance to a bound, in shares of the range, that counts as edge; and between two points that counts as a repeat.
EDGE = 0.02
REPEAT = 1e-3
#: Regrets are compared on a logarithmic scale, from here.
LEAST_REGRET = 1e-6


class Sampler(Protocol):
    """What is compared: asked for points, told their values, in any order."""

    def ask(self) -> tuple[int, dict[str, Any], str]:
        """Number of the new trial, its point, and how it was found."""

    def tell(self, number: int, value: float) -> None: ...

    def recommend(self) -> int:
        """Number of the trial that it would recommend, of those it has been told. Asked only if values are noisy."""


class Ours:
    """An Optimizer as a Sampler."""

    def __init__(self, function: Function, seed: int, **options: Any) -> None:
        self._optimizer = Optimizer(function.space, seed=seed, **options)

    def ask(self) -> tuple[int, dict[str, Any], str]:
        (trial,) = self._optimizer.ask()
        return trial.id, trial.params, trial.kind

    def tell(self, number: int, value: float) -> None:
        self._optimizer.tell(number, value)

    def recommend(self) -> int:
        trial = self._optimizer.recommend()
        assert trial  # something has been told
        return trial.id


class Sobol:
    """Scrambled Sobol points, which learn nothing. There is no model: recommended is the least value."""

    def __init__(self, function: Function, seed: int) -> None:
        self._space = function.space
        self._points = qmc.Sobol(function.space.width, scramble=True, rng=np.random.default_rng(seed)).random(1024)
        self._asked = 0
        self._told: dict[int, float] = {}

    def ask(self) -> tuple[int, dict[str, Any], str]:
        self._asked += 1
        return self._asked - 1, self._space.from_cube(self._points[self._asked - 1]), "sobol"

    def tell(self, number: int, value: float) -> None:
        self._told[number] = value

    def recommend(self) -> int:
        return min(self._told, key=self._told.__getitem__)


@dataclass(frozen=True)
class Schedule:
    """When evaluations run: workers at a time; mode async, as soon as one is free; sync, in batches; lag, proposal i
    when all up to i - lag have ended. Runtimes are log-normal with median 1 and this spread of their logarithm."""

    mode: Mode = "async"
    workers: int = 4
    lag: int = 4
    spread: float = 0.5


def simulate(
    function: Function, sampler: Sampler, schedule: Schedule, evaluations: int, seed: int, noise: float = 0.0
) -> tuple[pd.DataFrame, list[float]]:
    """Run a sampler on a simulated clock. Return one row per evaluation, in the order of proposals, and CPU seconds
    of each.

    Columns: trial, kind, regret (of the noise-free value), value (as told), started, ended (of the clock), told (rank
    in the order in which the sampler learns values), recommended (the trial that would be recommended once this one has
    been told), x0, x1, ... in the unit cube. Runtimes and noise depend on seed and trial alone, so that methods are
    paired.

    With noise, the sampler says what it recommends. Without, it is the trial of least value, whatever the sampler:
    values are then exact, and nobody would recommend another.
    """
    draws = randomness.generator(seed, "bayesopt", "clock", function.name)
    runtimes = np.exp(schedule.spread * draws.standard_normal(evaluations))
    errors = noise * draws.standard_normal(evaluations)
    free = [0.0] * schedule.workers
    heapq.heapify(free)
    rows: list[dict[str, Any]] = []
    ended: list[float] = []
    waiting: list[tuple[float, int]] = []  # when it ends, or in the order of proposals; and which proposal
    told: list[int] = []

    def tell() -> None:
        row = rows[heapq.heappop(waiting)[1]]
        sampler.tell(row["trial"], row["value"])
        row["told"] = len(told)
        told.append(row["trial"])
        if noise:
            row["recommended"] = sampler.recommend()

    seconds = []
    for i in range(evaluations):
        now = heapq.heappop(free)
        if schedule.mode == "sync":  # all of the batches before have ended
            now = max([now, *ended[: i // schedule.workers * schedule.workers]])
        elif schedule.mode == "lag":
            needed = max(i - schedule.lag + 1, 0)
            now = max([now, *ended[:needed]])
            while len(told) < needed:
                tell()
        if schedule.mode == "async" or (schedule.mode == "sync" and i % schedule.workers == 0):
            while waiting and waiting[0][0] <= now:
                tell()
        begun = time.process_time()
        number, params, kind = sampler.ask()
        seconds.append(time.process_time() - begun)
        end = now + runtimes[i]
        heapq.heappush(free, end)
        ended.append(end)
        heapq.heappush(waiting, (i if schedule.mode == "lag" else end, i))
        place = {f"x{d}": u for d, u in enumerate(function.space.to_cube(params).tolist())}
        rows.append(
            {
                "trial": number,
                "kind": kind,
                "regret": function.regret(params),
                "value": function(params) + errors[i],
                "started": now,
                "ended": end,
                **place,
            }
        )
    while waiting:
        tell()
    run = pd.DataFrame(rows)
    return (run if noise else run.assign(recommended=_least(run))), seconds


def _least(run: pd.DataFrame) -> pd.Series:
    """The trial of least value up to each, in the order in which they were told; the first of equals."""
    ordered = run.sort_values("told")
    first = ordered["value"] < ordered["value"].cummin().shift(fill_value=np.inf)
    return ordered["trial"].where(first).ffill().astype(int)


def regret_by_evaluation(run: pd.DataFrame) -> np.ndarray:
    """Regret of the point that would be recommended after each evaluation (n,), in the order in which they were told:
    that in which they ended, unless the schedule is a lag."""
    return run.set_index("trial")["regret"].loc[run.sort_values("told")["recommended"]].to_numpy()


def regret_by_clock(run: pd.DataFrame, times: np.ndarray) -> np.ndarray:
    """Regret of the point that would be recommended at each time, NaN before the first evaluation has ended. The
    schedule must not be a lag."""
    curve = regret_by_evaluation(run)
    count = np.searchsorted(np.sort(run["ended"].to_numpy()), times, side="right")
    return np.where(count > 0, curve[np.maximum(count - 1, 0)], np.nan)


def edge_enrichment(run: pd.DataFrame, skip: int) -> float:
    """Share of proposals within 2 % of a bound, without the first `skip`, over that of uniform points."""
    X = _points(run)[skip:]
    share = ((X <= EDGE) | (X >= 1 - EDGE)).any(axis=1).mean()
    return float(share / (1 - (1 - 2 * EDGE) ** X.shape[1]))


def repeat_rate(run: pd.DataFrame) -> float:
    """Share of proposals that are within 0.1 % of the range, on all axes, of an earlier one."""
    X = _points(run)
    return float(np.mean([i > 0 and np.abs(X[:i] - X[i]).max(axis=1).min() < REPEAT for i in range(len(X))]))


def _points(run: pd.DataFrame) -> np.ndarray:
    names = [name for name in run.columns if name[0] == "x" and name[1:].isdigit() and run[name].notna().all()]
    return run[names].to_numpy()


def interval(values: np.ndarray, seed: int, level: float = 0.95, draws: int = 2000) -> tuple[float, float]:
    """Percentile bootstrap interval of the median of independent values, such as those of one function's seeds."""
    return percentile_interval(np.median, values, randomness.generator(seed, "bayesopt", "bootstrap"), level, draws)


def log_regret(regret: np.ndarray) -> np.ndarray:
    """log10 of regret, from 1e-6."""
    return np.log10(np.maximum(regret, LEAST_REGRET))


def compare(final: pd.DataFrame, reference: str, seed: int) -> pd.DataFrame:
    """Each method against the reference: differences of log10 regret, paired by the function and seed that both have.

    final has the columns function, method, seed, regret. Returned columns: method, pairs, median (below 0: better than
    the reference), low, high (its 95 % interval), wins (share of pairs). With several functions the interval is over
    functions and their seeds: it answers for other functions of the kind. With one it is over the seeds of this one.
    """
    table = final.pivot_table(index=["function", "seed"], columns="method", values="regret")
    logs = pd.DataFrame(log_regret(table.to_numpy()), index=table.index, columns=table.columns)
    rows = []
    for method in logs.columns:
        if method == reference:
            continue
        differences = (logs[method] - logs[reference]).dropna()
        by_function = [group.to_numpy() for _, group in differences.groupby(level="function")]
        if len(by_function) > 1:
            rng = randomness.generator(seed, "bayesopt", "bootstrap")
            low, high = map(float, clustered_interval(by_function, np.median, rng))
        else:
            low, high = interval(by_function[0], seed)
        row: Mapping[str, Any] = {
            "method": method,
            "reference": reference,
            "pairs": len(differences),
            "median": float(differences.median()),
            "low": low,
            "high": high,
            "wins": float((differences < 0).mean() + (differences == 0).mean() / 2),
        }
        rows.append(row)
    return pd.DataFrame(rows)
