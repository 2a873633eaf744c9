"""The samplers that a benchmark's params name, and their runs."""

import numpy as np
import pandas as pd
from scipy.stats import qmc

from tessera.bayesopt import benchmark, functions, peers
from tessera.bayesopt.benchmark import Ours, Sampler, Sobol
from tessera.bayesopt.functions import Function
from tessera.bayesopt.jobs import RunsParams
from tessera.bayesopt.params import SamplerParams
from tessera.common import progress, randomness
from tessera.common.files import Json


def make(params: SamplerParams, function: Function, seed: int) -> Sampler:
    """The sampler for a function."""
    if params.sampler == "tessera":
        return Ours(function, seed, **params.options())
    if params.sampler == "sobol":
        return Sobol(function, seed)
    return peers.make(params.sampler, function, seed, params.edges)


def spread(function: Function) -> float:
    """Standard deviation of a function's values at 1024 Sobol points of its domain."""
    rows = qmc.Sobol(function.space.width, scramble=True, rng=np.random.default_rng(0)).random(1024)
    return float(np.std([function(function.space.from_cube(row)) for row in rows]))


def runs(job: RunsParams, seed: int) -> tuple[pd.DataFrame, list[Json]]:
    """Run a job. Return one row per evaluation, and the median and total CPU seconds of proposals per run.

    seed: root of the random numbers of the whole study. Every number of a run has its own instance of the function.
    """
    schedule = benchmark.Schedule(job.mode, job.workers, job.lag, job.spread)
    tables, costs = [], []
    for number in progress.track(job.seeds, f"{job.name} on {job.function}"):
        function = functions.get(job.function, instance=1 + number)
        run_seed = randomness.seed(seed, "bayesopt", "benchmark", job.function, number)
        sampler = make(job.sampler, function, run_seed)
        noise = job.noise * spread(function) if job.noise else 0.0
        table, seconds = benchmark.simulate(function, sampler, schedule, job.evaluations, run_seed, noise)
        names = {"function": job.function, "sampler": job.name, "seed": number, "schedule": job.schedule}
        tables.append(table.assign(**names))
        costs.append(names | {"median": pd.Series(seconds).median(), "total": sum(seconds)})
    return pd.concat(tables, ignore_index=True), costs
