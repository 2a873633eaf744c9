"""One proposal's search: minima of posterior samples, poll steps, and what they are compared with.

x is in the unit cube, values are standardised, s(x) is the posterior's standard deviation of f and mu(x) its mean.
"""

from typing import Literal

import numpy as np

from tessera.bayesopt import edges, feasibility, sample
from tessera.bayesopt.gp import Posterior
from tessera.bayesopt.settings import Settings
from tessera.bayesopt.space import Space

Kind = Literal["thompson", "poll", "ucb", "random"]
#: Number of standard deviations between a confidence bound and the mean.
CONFIDENCE = 2.0
#: Decimals to which standardised values are compared, so that ties do not depend on rounding errors.
DECIMALS = 6


class Search:
    """One proposal's search, with all it looks at."""

    def __init__(
        self,
        space: Space,
        settings: Settings,
        posterior: Posterior,
        observed: np.ndarray,
        pending: np.ndarray,
        success: Posterior | None,
        rng: np.random.Generator,
    ) -> None:
        self.space, self.settings, self.posterior, self.rng = space, settings, posterior, rng
        self.known = np.concatenate([observed, pending])
        self.success = success
        self.least_sd = max(settings.rho * posterior.hyper.noise, settings.sem_min)
        self.edge = edges.edge_width(settings.excluded, int(space.edged.sum()))

    def run(self) -> tuple[np.ndarray, Kind]:
        """The row (D,) to evaluate, and how it was found."""
        method = self.settings.method
        if method == "ucb":
            row = self._least(self._bound(), self._starts(self._least_mean()), None)
            if row is not None:
                return row, "ucb"
        elif method == "thompson":
            starts = self._starts(self._least_mean())
            row = self._least(self._sample(1), starts, None)  # one sample, from all starts
            if row is not None:
                return row, "thompson"
        else:
            best = self._best()
            starts = self._starts(best)
            row = self._least(self._sample(len(starts)), starts, best)
            if row is not None:
                return row, "thompson"
            row = self._poll(best)
            if row is not None:
                return row, "poll"
        return feasibility.random_row(self.space, self.success, self.rng), "random"

    def choose(self, rows: np.ndarray) -> tuple[np.ndarray, Kind]:
        """Of rows (s, D), the one of the least confidence bound or, for the other methods, of one sample of f."""
        ucb = self.settings.method == "ucb"
        values, _ = self._held_against(self._bound() if ucb else self._sample(1))(rows, np.arange(len(rows)))
        return rows[int(np.argmin(np.round(values, DECIMALS)))], "ucb" if ucb else "thompson"

    def _best(self) -> np.ndarray:
        mean, sd = self.posterior.mean_sd(self.known)
        score = mean + (self._barrier(sd) if self.settings.method == "fubar" else 0.0)
        score = score - feasibility.log_probability(self.success, self.known)
        floored = self._passes_floor(sd)
        if self.settings.method == "bop" and floored.any():
            score = np.where(floored, score, np.inf)
        return self.known[int(np.argmin(np.round(score, DECIMALS)))]

    def _passes_floor(self, sd: np.ndarray) -> np.ndarray:
        return sd > self.least_sd if self.settings.floor else np.ones(len(sd), dtype=bool)

    def _barrier(self, sd: np.ndarray) -> np.ndarray:
        return np.minimum(self.least_sd / sd, 1e3) ** self.settings.barrier

    def _least_mean(self) -> np.ndarray:
        return self.known[int(np.argmin(np.round(self.posterior.mean(self.known), DECIMALS)))]

    def _starts(self, best: np.ndarray) -> np.ndarray:
        uniform = self.rng.random((self.settings.starts * self.space.width, self.space.width))
        return np.concatenate([uniform, best[None]])

    def _sample(self, count: int) -> sample.Batch:
        """count samples of f, start i going down sample i; or all down the one."""
        paths = sample.Paths(self.posterior, count, self.rng, self.settings.features)
        return paths if count > 1 else lambda rows, which: paths(rows, np.zeros_like(which))

    def _bound(self) -> sample.Batch:
        """The lower confidence bound of f."""

        def batch(rows: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            mean, sd, by_mean, by_sd = self.posterior.mean_sd_slopes(rows)
            return mean - CONFIDENCE * sd, by_mean - CONFIDENCE * by_sd

        return batch

    def _held_against(self, batch: sample.Batch) -> sample.Batch:
        """The functions with FuBar's barrier, and with -log of the probability of success."""
        settings = self.settings

        def sum_of(rows: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            values, slopes = batch(rows, which)
            if settings.method == "fubar":
                _, sd, _, by_sd = self.posterior.mean_sd_slopes(rows)
                barrier = self._barrier(sd)
                values = values + barrier
                slopes = slopes - (settings.barrier * barrier / sd)[:, None] * by_sd
            if self.success is not None:
                penalty, by_penalty = feasibility.penalty(self.success, rows)
                values, slopes = values + penalty, slopes + by_penalty
            return values, slopes

        return sum_of

    def _least(self, functions: sample.Batch, starts: np.ndarray, best: np.ndarray | None) -> np.ndarray | None:
        """The least minimum of the functions from their starts that all rules let pass.

        best is x_b, which the minimum must be below, or None for a method that has no such bar and no floor.
        """
        settings, posterior = self.settings, self.posterior
        batch = self._held_against(functions)
        minima, _ = sample.minimise(batch, starts)
        rows = self.space.snap(minima)
        values, _ = batch(rows, np.arange(len(rows)))
        keep = np.isfinite(values)
        if best is not None:
            _, sd = posterior.mean_sd(rows)
            at_best, sd_best = posterior.mean_sd(best[None])
            bar = at_best[0] - feasibility.log_probability(self.success, best[None])[0]
            if settings.method == "fubar":
                bar += self._barrier(sd_best)[0]
            else:
                keep &= self._passes_floor(sd)
            keep &= values < bar
        keep &= self._probably_succeeds(rows)
        for i in np.argsort(np.round(values, DECIMALS), kind="stable"):
            if not keep[i]:
                continue
            row = self.space.snap(sample.polished(batch, minima[i], int(i))[None])[0]
            if edges.passes(settings.edges, row, self.space.edged, self.edge, settings.tau, posterior):
                return row
        return None

    def _probably_succeeds(self, rows: np.ndarray) -> np.ndarray:
        """Whether each row (s, D) is accepted, with its probability of success."""
        if self.success is None:
            return np.ones(len(rows), dtype=bool)
        return self.rng.random(len(rows)) < feasibility.probability(self.success, rows)

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
        keep &= self._probably_succeeds(rows)
        return rows[int(np.argmax(np.where(keep, np.round(sd, DECIMALS), -np.inf)))] if keep.any() else None
