"""The samplers that a benchmark's params name."""

import numpy as np
from scipy.stats import qmc

from tessera.bayesopt import peers
from tessera.bayesopt.benchmark import Ours, Sampler, Sobol
from tessera.bayesopt.functions import Function
from tessera.bayesopt.params import SamplerParams


def make(params: SamplerParams, function: Function, seed: int) -> Sampler:
    """The sampler for a function."""
    if params.sampler == "tessera":
        return Ours(function, seed, **params.options())
    return (
        Sobol(function, seed) if params.sampler == "sobol" else peers.make(params.sampler, function, seed, params.edges)
    )


def spread(function: Function) -> float:
    """Standard deviation of a function's values at 1024 Sobol points of its domain."""
    rows = qmc.Sobol(function.space.width, scramble=True, rng=np.random.default_rng(0)).random(1024)
    return float(np.std([function(function.space.from_cube(row)) for row in rows]))
