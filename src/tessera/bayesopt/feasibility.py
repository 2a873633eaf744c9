"""Where trials succeed: a Gaussian process on +1 and -1, and what proposals make of it."""

import numpy as np
from scipy.special import log_ndtr, ndtr

from tessera.bayesopt import hyperparameters
from tessera.bayesopt.gp import Hyper, Posterior
from tessera.bayesopt.space import Space


def model_of(X: np.ndarray, feasible: np.ndarray) -> Posterior | None:
    """A model of where trials succeed: a GP on +1 and -1, its length scales fitted; None if all did."""
    if feasible.all():
        return None
    labels = np.where(feasible, 1.0, -1.0)
    recent = slice(-300, None)  # enough for a boundary, and cheap
    X, labels = X[recent], labels[recent]
    return Posterior(X, labels, Hyper.of(hyperparameters.fit_map(X, labels)))


def probability(model: Posterior | None, rows: np.ndarray) -> np.ndarray:
    """Probability (s,) that the latent of feasibility is above 0."""
    if model is None:
        return np.ones(len(rows))
    mean, sd = model.mean_sd(rows)
    return ndtr(mean / np.sqrt(sd**2 + model.hyper.noise**2))


def random_row(space: Space, model: Posterior | None, rng: np.random.Generator) -> np.ndarray:
    """A uniform row, accepted with its probability of being feasible; of 100 refused ones the most probable."""
    return accepted(space.uniform(1 if model is None else 100, rng), model, rng)


def accepted(rows: np.ndarray, model: Posterior | None, rng: np.random.Generator) -> np.ndarray:
    """The first row (D,) of rows (s, D) that is accepted with its probability, or the most probable if none is."""
    if model is None:
        return rows[0]
    chances = probability(model, rows)
    passed = np.flatnonzero(rng.random(len(rows)) < chances)
    return rows[passed[0] if len(passed) else int(np.argmax(np.round(chances, 6)))]


def log_probability(model: Posterior | None, rows: np.ndarray) -> np.ndarray:
    """Its logarithm (s,)."""
    if model is None:
        return np.zeros(len(rows))
    mean, sd = model.mean_sd(rows)
    return log_ndtr(mean / np.sqrt(sd**2 + model.hyper.noise**2))


def penalty(model: Posterior, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-log P(feasible) (s,) and its gradient (s, D)."""
    mean, sd, by_mean, by_sd = model.mean_sd_slopes(rows)
    total = np.sqrt(sd**2 + model.hyper.noise**2)
    z = mean / total
    log_p = log_ndtr(z)
    inverse_mills = np.exp(-z * z / 2 - log_p) / np.sqrt(2 * np.pi)
    by_z = by_mean / total[:, None] - (mean * sd / total**3)[:, None] * by_sd
    return -log_p, -inverse_mills[:, None] * by_z
