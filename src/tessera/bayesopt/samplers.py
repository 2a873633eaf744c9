"""The cells of a benchmark, and the samplers that its params name."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from tessera.bayesopt.benchmark import Ours, Sampler, Schedule, Sobol
from tessera.bayesopt.functions import Function
from tessera.bayesopt.params import SamplerParams, SuiteParams


@dataclass(frozen=True)
class Cell:
    """One run: a sampler on a function, with a seed, on a schedule of that name."""

    function: str
    sampler: str
    seed: int
    name: str
    schedule: Schedule


def cells(suite: SuiteParams) -> list[Cell]:
    """All runs of a suite: every function, sampler and seed asynchronously; and one sampler in batches and by lag."""
    workers, spread = suite.schedule.workers, suite.schedule.spread
    schedules = {"async": Schedule("async", workers, 1, spread)}
    found = [
        Cell(function, sampler, seed, "async", schedules["async"])
        for function in suite.functions
        for sampler in suite.samplers
        for seed in range(suite.seeds)
    ]
    others = {"sync": Schedule("sync", workers, 1, spread)}
    others |= {f"lag {lag}": Schedule("lag", workers, lag, spread) for lag in suite.lag.lags}
    for name, schedule in others.items():
        found += [Cell(suite.lag.function, suite.lag.sampler, seed, name, schedule) for seed in range(suite.seeds)]
    return found


def make(params: SamplerParams, function: Function, seed: int) -> Sampler:
    """The sampler for a function."""
    return Sobol(function, seed) if params.sampler == "sobol" else Ours(function, seed, **params.options())


def spread(function: Function) -> float:
    """Standard deviation of a function's values at 1024 Sobol points of its domain."""
    rows = qmc.Sobol(function.space.width, scramble=True, rng=np.random.default_rng(0)).random(1024)
    return float(np.std([function(function.space.from_cube(row)) for row in rows]))
