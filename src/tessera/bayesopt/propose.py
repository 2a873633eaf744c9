"""Where to look next: BOP, FuBar VC and Thompson sampling, with rules for edges and repeats.

A proposal is a pure function of the observations, the pending points, the settings and a seed, so that it can be made
on any machine, and made again. Processors differ in the last digits of sums and exponentials; so the random stream
depends on no such digits, and what is fitted, drawn or chosen is rounded before anything follows from it.

Methods of R. Rubin, New heuristics for parallel and scalable Bayesian optimization, arXiv 1807.00373 (2018), as
README.md interprets them; x is in the unit cube, values are standardised, s(x) is the posterior's standard deviation of
f and mu(x) its mean.

    floor   V(x): s(x) > max(rho sigma, sem_min)
    best    x_b: the least mu among observed and pending points where V holds, or among all
    search  from each start a new posterior sample and its local minimum; of those that the rules let pass, below
            mu(x_b) and where V holds, the least
    poll    else, of free + 1 points around x_b where V holds, the one of largest s
    random  else, a uniform point
    finite  a point that has been tried, in a space where others are left: instead the least of one sample among those

Plain Thompson sampling goes to the minimum of one sample. A plain confidence bound (ucb) goes to the least mu - 2 s,
and looks at no pending points: two proposals differ only by what has been observed between them. It is a null to
compare with.
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from tessera.bayesopt import feasibility, finite, gp, hyperparameters
from tessera.bayesopt.gp import Hyper, Posterior
from tessera.bayesopt.search import Kind, Search
from tessera.bayesopt.settings import Settings, Transform
from tessera.bayesopt.space import Space
from tessera.common import randomness

#: Range of the power lambda. Up to 1, large values are drawn in, and small ones never are.
POWERS = (-3.0, 1.0)
#: Decimals of what the model makes up: the power lambda, and values of pending points.
POWER_DECIMALS, FANTASY_DECIMALS = 3, 6


@dataclass(frozen=True)
class Data:
    """Finished trials: rows X (n, D), values y (n,), NaN if there is none, and whether each was feasible (n,)."""

    X: np.ndarray
    y: np.ndarray
    feasible: np.ndarray


@dataclass(frozen=True)
class Proposal:
    """A row of the cube, how it was found, theta (empty before there is a model), and the seed of its stream."""

    row: np.ndarray
    kind: Kind
    theta: np.ndarray
    seed: int


def propose(
    space: Space,
    settings: Settings,
    data: Data,
    pending: np.ndarray,
    seed: int,
    index: int,
    warm: np.ndarray | None = None,
) -> Proposal:
    """The proposal of trial `index` of the study with this seed.

    pending (p, D) are rows that are being evaluated; warm is the theta of an earlier proposal, from which fits begin.
    The random stream is that of (seed, index).
    """
    warm = np.zeros(0) if warm is None else np.asarray(warm, dtype=float)
    own_seed = randomness.seed(seed, "bayesopt", index)
    rng = np.random.default_rng(own_seed)
    known = np.isfinite(data.y)
    tried = np.concatenate([data.X, pending])
    if settings.method == "random" or known.sum() < 2 * space.free:
        success = _success(data)
        row = feasibility.random_row(space, success, rng)
        others = finite.untried(space, tried, row, rng)
        if others is not None:
            row = feasibility.accepted(rng.permutation(others), success, rng)
        return Proposal(row, "random", np.zeros(0), own_seed)
    y = standardise(data.y[known], settings.transform)
    X = data.X[known]
    theta = fit(X, y, settings, warm, rng)
    if settings.method == "ucb":
        pending = pending[:0]
    posterior = condition(X, y, theta, pending, settings, rng)
    search = Search(space, settings, posterior, data.X, pending, _success(data), rng)
    row, kind = search.run()
    others = finite.untried(space, tried, row, rng)
    if others is not None:
        row, kind = search.choose(others)
    return Proposal(row, kind, theta, own_seed)


def standardise(y: np.ndarray, transform: Transform = "none") -> np.ndarray:
    """Values (n,) less their mean, over their standard deviation, or over 1 if they are all the same.

    yeo-johnson: the standardised values go through the power transformation of I. Yeo and R. Johnson (Biometrika 87,
    2000) with the lambda in POWERS of the largest likelihood, and are standardised again. It keeps their order, and
    gives a Gaussian process less to explain if a few values are far above all others.
    """
    centred = y - y.mean()
    spread = centred.std()
    if not spread > 1e-12 * max(np.abs(y).max(), 1e-300):
        return np.zeros(len(y))
    z = centred / spread
    if transform == "none":
        return z
    power = optimize.minimize_scalar(lambda power: -stats.yeojohnson_llf(power, z), bounds=POWERS, method="bounded").x
    return standardise(stats.yeojohnson(z, round(power, POWER_DECIMALS)))


def fit(X: np.ndarray, y: np.ndarray, settings: Settings, warm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """theta from standardised values, of a part of the observations if they are many."""
    if len(y) > settings.fit_limit:
        part = gp.inducing_rows(X, y, settings.fit_limit, rng)
        X, y = X[part], y[part]
    theta = warm
    if settings.inference == "map" or not len(warm):
        theta = hyperparameters.fit_map(X, y, warm if len(warm) else None)
    return hyperparameters.sample_slice(X, y, theta, settings.sweeps, rng) if settings.inference == "slice" else theta


def condition(
    X: np.ndarray, y: np.ndarray, theta: np.ndarray, pending: np.ndarray, settings: Settings, rng: np.random.Generator
) -> Posterior:
    """The posterior given the data and one joint draw of what the pending points will say."""
    hyper = Hyper.of(theta)
    inducing = None
    if len(y) > settings.exact_limit:
        inducing = X[gp.inducing_rows(X, y, settings.inducing, rng)]
    posterior = Posterior(X, y, hyper, inducing)
    if not len(pending):
        return posterior
    fantasy = np.round(posterior.sample_values(pending, rng), FANTASY_DECIMALS)
    if inducing is not None:
        inducing = np.concatenate([inducing, pending])
    return Posterior(np.concatenate([X, pending]), np.concatenate([y, fantasy]), hyper, inducing)


def _success(data: Data) -> Posterior | None:
    return feasibility.model_of(data.X, data.feasible)
