"""Where to look next: BOP, FuBar VC and Thompson sampling, with rules against edges and repeats.

A proposal is a pure function of the observations, the pending points, the settings and a seed, so that it can be made
on any machine, and made again. Methods of R. Rubin, New heuristics for parallel and scalable Bayesian optimization,
arXiv 1807.00373 (2018), as docs/bayesopt.md reads them; x is in the unit cube, values are standardised, s(x) is the
posterior's standard deviation of f and mu(x) its mean.

    floor   V(x): s(x) > max(rho sigma, sem_min)
    best    x_b: the least mu among observed and pending points where V holds, or among all
    search  from each start a new posterior sample and its local minimum; of those that the rules let pass, below
    mu(x_b)
            and where V holds, the least
    poll    else, of free + 1 points around x_b where V holds, the one of largest s
    random  else, a uniform point
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from scipy.special import log_ndtr, ndtr

from tessera.bayesopt import gp, sample
from tessera.bayesopt.gp import Hyper, Posterior
from tessera.bayesopt.space import Space
from tessera.common import randomness

Method = Literal["bop", "fubar", "thompson", "random"]
Edges = Literal["none", "hard", "evidence"]


@dataclass(frozen=True)
class Settings:
    """Options of a study's proposals. Raises ValueError where one is out of range."""

    method: Method = "bop"
    #: What becomes of a candidate on the boundary: kept, discarded, or kept where the gradient gives evidence.
    edges: Edges = "evidence"
    #: Whether a point that is known well enough is left alone.
    floor: bool = True
    inference: Literal["map", "slice"] = "map"
    rho: float = 0.5  # floor of s(x), in noise standard deviations
    sem_min: float = 1e-3  # least floor of s(x), in standard deviations of the values
    excluded: float = 0.1  # share of the cube that counts as edge, whatever its dimension
    tau: float = 0.9  # probability that outwards is downwards, from which an edge is believed
    poll: float = 0.25  # size of poll steps, in length scales
    barrier: float = 10.0  # exponent z of FuBar's barrier (rho sigma / s)^z
    starts: int = 5  # uniform starts of a search, per axis
    sweeps: int = 5  # of slice sampling, a proposal
    features: int = 512  # random Fourier features of a sample
    fit_limit: int = 200  # observations that hyper-parameters are fitted on, at most
    exact_limit: int = 500  # observations of the exact posterior, at most; beyond, inducing points
    inducing: int = 256

    def __post_init__(self) -> None:
        choices = {
            "method": ("bop", "fubar", "thompson", "random"),
            "edges": ("none", "hard", "evidence"),
            "inference": ("map", "slice"),
        }
        for name, valid in choices.items():
            if getattr(self, name) not in valid:
                raise ValueError(f"{name} = {getattr(self, name)!r}; valid are {', '.join(valid)}")
        for name in ("rho", "sem_min", "poll", "barrier"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} = {getattr(self, name)}; valid is a number above 0")
        for name in ("excluded", "tau"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}; valid is a number between 0 and 1")
        for name in ("starts", "sweeps", "features", "fit_limit", "exact_limit", "inducing"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}; valid is an integer from 1")
        if self.inducing > self.exact_limit:
            raise ValueError(f"inducing = {self.inducing}; valid is at most exact_limit = {self.exact_limit}")


@dataclass(frozen=True)
class Data:
    """Finished trials: rows X (n, D), values y (n,), NaN where there is none, and whether each was feasible (n,)."""

    X: np.ndarray
    y: np.ndarray
    feasible: np.ndarray


@dataclass(frozen=True)
class Proposal:
    """A row of the cube, how it was found, theta (empty before there is a model), and the seed of its stream."""

    row: np.ndarray
    kind: Literal["thompson", "poll", "random"]
    theta: np.ndarray
    seed: int


def edge_width(excluded: float, edged: int) -> float:
    """Distance to a bound, per axis, within which lies the share `excluded` of a cube: (1 - (1 - p)^(1/D)) / 2."""
    return (1 - (1 - excluded) ** (1 / max(edged, 1))) / 2


def digest(space: Space, settings: Settings, data: Data, pending: np.ndarray, warm: np.ndarray) -> str:
    """Hash of all that a proposal depends on but its seed."""
    found = hashlib.sha256(json.dumps([space.to_json(), asdict(settings)], sort_keys=True).encode())
    for array in (data.X, data.y, data.feasible, pending, warm):
        found.update(repr(array.shape).encode() + np.ascontiguousarray(array, dtype="<f8").tobytes())
    return found.hexdigest()


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
    The random stream is that of (seed, index, digest of all the other arguments).
    """
    warm = np.zeros(0) if warm is None else np.asarray(warm, dtype=float)
    own = randomness.seed(seed, "bayesopt", index, digest(space, settings, data, pending, warm))
    rng = np.random.default_rng(own)
    known = np.isfinite(data.y)
    if settings.method == "random" or known.sum() < 2 * space.free:
        return Proposal(_feasible_random(space, _feasibility(data), rng), "random", np.zeros(0), own)
    y = standardise(data.y[known])
    X = data.X[known]
    theta = fit(X, y, settings, warm, rng)
    posterior = condition(X, y, theta, pending, settings, rng)
    row, kind = _Search(space, settings, posterior, data.X, pending, _feasibility(data), rng).run()
    return Proposal(row, kind, theta, own)


def standardise(y: np.ndarray) -> np.ndarray:
    """Values less their mean, over their standard deviation, or over 1 where they are all the same."""
    centred = y - y.mean()
    spread = centred.std()
    return centred / spread if spread > 1e-12 * max(np.abs(y).max(), 1e-300) else np.zeros(len(y))


def fit(X: np.ndarray, y: np.ndarray, settings: Settings, warm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """theta from standardised values, of a part of the observations where they are many."""
    if len(y) > settings.fit_limit:
        part = gp.inducing_rows(X, y, settings.fit_limit, rng)
        X, y = X[part], y[part]
    theta = gp.fit_map(X, y, warm if len(warm) else None) if settings.inference == "map" or not len(warm) else warm
    return gp.sample_slice(X, y, theta, settings.sweeps, rng) if settings.inference == "slice" else theta


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
    fantasy = posterior.sample_values(pending, rng)
    if inducing is not None:
        inducing = np.concatenate([inducing, pending])
    return Posterior(np.concatenate([X, pending]), np.concatenate([y, fantasy]), hyper, inducing)


def _feasibility(data: Data) -> Posterior | None:
    """A model of where trials succeed: a GP on +1 and -1, its length scales fitted; none where all did."""
    if data.feasible.all():
        return None
    labels = np.where(data.feasible, 1.0, -1.0)
    recent = slice(-300, None)  # enough for a boundary, and cheap
    X, labels = data.X[recent], labels[recent]
    return Posterior(X, labels, Hyper.of(gp.fit_map(X, labels)))


def probability_feasible(model: Posterior | None, rows: np.ndarray) -> np.ndarray:
    """Probability (s,) that the latent of feasibility is above 0."""
    if model is None:
        return np.ones(len(rows))
    mean, sd = model.mean_sd(rows)
    return ndtr(mean / np.sqrt(sd**2 + model.hyper.noise**2))


def _feasible_random(space: Space, feasibility: Posterior | None, rng: np.random.Generator) -> np.ndarray:
    """A uniform row, accepted with its probability of being feasible; of 100 refused ones the most probable."""
    if feasibility is None:
        return space.uniform(1, rng)[0]
    rows = space.uniform(100, rng)
    chances = probability_feasible(feasibility, rows)
    accepted = np.flatnonzero(rng.random(100) < chances)
    return rows[accepted[0] if len(accepted) else int(np.argmax(chances))]


class _Search:
    """One proposal's search, with all it looks at."""

    def __init__(
        self,
        space: Space,
        settings: Settings,
        posterior: Posterior,
        observed: np.ndarray,
        pending: np.ndarray,
        feasibility: Posterior | None,
        rng: np.random.Generator,
    ) -> None:
        self.space, self.settings, self.posterior, self.rng = space, settings, posterior, rng
        self.known = np.concatenate([observed, pending])
        self.feasibility = feasibility
        self.least_sd = max(settings.rho * posterior.hyper.noise, settings.sem_min)
        self.edge = edge_width(settings.excluded, int(space.edged.sum()))

    def run(self) -> tuple[np.ndarray, Literal["thompson", "poll", "random"]]:
        if self.settings.method == "thompson":
            found = self._search(best=None)
            if found is not None:
                return found, "thompson"
        else:
            best = self._best()
            found = self._search(best)
            if found is not None:
                return found, "thompson"
            found = self._poll(best)
            if found is not None:
                return found, "poll"
        return _feasible_random(self.space, self.feasibility, self.rng), "random"

    def _best(self) -> np.ndarray:
        mean, sd = self.posterior.mean_sd(self.known)
        score = mean + (self._barrier(sd) if self.settings.method == "fubar" else 0.0)
        score = score - self._log_feasible(self.known)
        floored = self._passes_floor(sd)
        if self.settings.method == "bop" and floored.any():
            score = np.where(floored, score, np.inf)
        return self.known[int(np.argmin(score))]

    def _passes_floor(self, sd: np.ndarray) -> np.ndarray:
        return sd > self.least_sd if self.settings.floor else np.ones(len(sd), dtype=bool)

    def _barrier(self, sd: np.ndarray) -> np.ndarray:
        return np.minimum(self.least_sd / sd, 1e3) ** self.settings.barrier

    def _log_feasible(self, rows: np.ndarray) -> np.ndarray:
        if self.feasibility is None:
            return np.zeros(len(rows))
        mean, sd = self.feasibility.mean_sd(rows)
        return log_ndtr(mean / np.sqrt(sd**2 + self.feasibility.hyper.noise**2))

    def _search(self, best: np.ndarray | None) -> np.ndarray | None:
        """The least minimum of samples that all rules let pass; best is x_b, or None for plain Thompson sampling."""
        settings, posterior = self.settings, self.posterior
        starts = self.rng.random((settings.starts * self.space.width, self.space.width))
        if best is None:  # one sample, from all starts
            mean = posterior.mean(self.known)
            starts = np.concatenate([starts, self.known[[int(np.argmin(mean))]]])
            paths = sample.Paths(posterior, 1, self.rng, settings.features)
        else:
            starts = np.concatenate([starts, best[None]])
            paths = sample.Paths(posterior, len(starts), self.rng, settings.features)

        def batch(rows: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            values, slopes = paths(rows, np.zeros_like(which) if best is None else which)
            if settings.method == "fubar":
                _, sd, _, by_sd = posterior.mean_sd_slopes(rows)
                barrier = self._barrier(sd)
                values = values + barrier
                slopes = slopes - (settings.barrier * barrier / sd)[:, None] * by_sd
            if self.feasibility is not None:
                penalty, by_penalty = self._penalty(rows)
                values, slopes = values + penalty, slopes + by_penalty
            return values, slopes

        rows, _ = sample.minimise(batch, starts)
        rows = self.space.snap(rows)
        values, _ = batch(rows, np.arange(len(rows)))
        keep = np.isfinite(values)
        if best is not None:
            _, sd = posterior.mean_sd(rows)
            at_best, sd_best = posterior.mean_sd(best[None])
            bar = at_best[0] - self._log_feasible(best[None])[0]
            if settings.method == "fubar":
                bar += self._barrier(sd_best)[0]
            else:
                keep &= self._passes_floor(sd)
            keep &= values < bar
        if self.feasibility is not None:
            keep &= self.rng.random(len(rows)) < probability_feasible(self.feasibility, rows)
        for i in np.argsort(values, kind="stable"):
            if keep[i] and self._passes_edges(rows[i]):
                return rows[i]
        return None

    def _penalty(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """-log P(feasible) (s,) and its gradient (s, D)."""
        assert self.feasibility is not None
        mean, sd, by_mean, by_sd = self.feasibility.mean_sd_slopes(rows)
        total = np.sqrt(sd**2 + self.feasibility.hyper.noise**2)
        z = mean / total
        log_p = log_ndtr(z)
        inverse_mills = np.exp(-z * z / 2 - log_p) / np.sqrt(2 * np.pi)
        by_z = by_mean / total[:, None] - (mean * sd / total**3)[:, None] * by_sd
        return -log_p, -inverse_mills[:, None] * by_z

    def _passes_edges(self, row: np.ndarray) -> bool:
        """Whether the rule of edges lets a row (D,) pass.

        The rule of evidence asks, for each face the row lies on, whether f falls outwards with a probability above tau.
        """
        if self.settings.edges == "none":
            return True
        low, high = self.space.edged & (row <= self.edge), self.space.edged & (row >= 1 - self.edge)
        if self.settings.edges == "hard":
            return not (low | high).any()
        for axis in np.flatnonzero(low | high):
            mean, sd = self.posterior.partial(row, int(axis))
            outwards = -mean if low[axis] else mean
            if not ndtr(-outwards / max(sd, 1e-12)) > self.settings.tau:
                return False
        return True

    def _poll(self, best: np.ndarray) -> np.ndarray | None:
        """Of free + 1 random steps from x_b within the cube, the one of largest s, if it is above the floor."""
        count = self.space.free + 1
        steps = self.rng.standard_normal((count, self.space.width))
        rows = best + self.settings.poll * self.posterior.hyper.lengths * steps
        rows = self.space.snap(rows[((rows >= 0) & (rows <= 1)).all(axis=1)])
        if not len(rows):
            return None
        _, sd = self.posterior.mean_sd(rows)
        keep = self._passes_floor(sd)
        if self.feasibility is not None:
            keep &= self.rng.random(len(rows)) < probability_feasible(self.feasibility, rows)
        return rows[int(np.argmax(np.where(keep, sd, -np.inf)))] if keep.any() else None
