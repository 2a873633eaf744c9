"""The space of solutions of one task: overlaps, random walks within a component, straight chords and clusters.

Nulls are convex constraints on the weights, each target is a union of half-spaces: the solutions are a union of convex
cells, one per choice of firing times, that may or may not touch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit
from scipy.sparse.csgraph import connected_components
from scipy.special import log_ndtr, roots_legendre

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tempotron.learn import check_labels
from tessera.tempotron.neuron import batch_solves, prepare
from tessera.tempotron.theory import median_threshold

#: Extent (left, right) >= 0, rad, of the connected feasible arc around w on the great circle cos(f) w + sin(f) v.
Arc = Callable[[np.ndarray, np.ndarray], tuple[float, float]]
#: Overlaps q of the planted curves.
PLANTED_OVERLAPS = np.array([0.02, 0.05, *(0.05 * np.arange(2, 20))]).round(3)


def overlaps(weights: np.ndarray, remove_uniform: bool = False) -> np.ndarray:
    """q = w.w'/(|w||w'|) of all pairs of rows of weights (S, N), result (S (S-1)/2,).

    remove_uniform projects out the direction (1, ..., 1), which all solutions share through the mean drive.
    """
    w = weights - weights.mean(axis=1, keepdims=True) if remove_uniform else weights
    w = w / np.linalg.norm(w, axis=1, keepdims=True)
    return (w @ w.T)[np.triu_indices(len(w), 1)]


def walk(weights: np.ndarray, arc: Arc, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Random walk on the sphere |w| = const within a connected component: positions (steps + 1, N).

    It starts at `weights`. Each step takes a random great circle through the current point and a uniform point of its
    connected feasible arc.
    That is reversible, and uniform on the component, if arc gives the same arc from each of its points.
    """
    norm = np.linalg.norm(weights)
    path = [np.array(weights, dtype=float)]
    for _ in range(steps):
        w = path[-1]
        v = rng.normal(size=len(w))
        v -= w * (v @ w) / (w @ w)
        v *= norm / np.linalg.norm(v)
        left, right = arc(w, v)
        angle = rng.uniform(-left, right)
        w = np.cos(angle) * w + np.sin(angle) * v
        path.append(w * (norm / np.linalg.norm(w)))
    return np.array(path)


def stepped_arc(feasible: Callable[[np.ndarray], bool], step: float = 1e-3, bisections: int = 10) -> Arc:
    """Arc by steps of `step` rad until infeasible, then bisection: for any task; blind to gaps below a step."""

    def extent(w: np.ndarray, v: np.ndarray, sign: int) -> float:
        def at(angle: float) -> bool:
            return feasible(np.cos(angle) * w + sign * np.sin(angle) * v)

        inside = 0.0
        while at(inside + step):
            inside += step
            if inside >= np.pi:
                return np.pi
        outside = inside + step
        for _ in range(bisections):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if at(middle) else (inside, middle)
        return inside

    return lambda w, v: (extent(w, v, -1), extent(w, v, 1))


def spikes_arc(
    spikes: SpikeBatch, labels: np.ndarray, kernel: DoubleExponential, threshold: float = 1.0, step: float = 2e-3
) -> Arc:
    """`stepped_arc` of a task of spike patterns, labels (P,) +-1."""
    labels = check_labels(labels, len(spikes))
    data = prepare(spikes, kernel)
    return stepped_arc(lambda w: batch_solves(w, labels, threshold, data), step)


def bins_arc(patterns: np.ndarray, labels: np.ndarray, threshold: float = 1.0) -> Arc:
    """Exact arc for independent bins, patterns (P, K, N): every constraint bounds A cos f + B sin f by theta."""
    labels = check_labels(labels, len(patterns))

    def arc(w: np.ndarray, v: np.ndarray) -> tuple[float, float]:
        a, b = patterns @ w, patterns @ v
        right = _first_exit(a, b, labels, threshold)
        return _first_exit(a, -b, labels, threshold), right

    return arc


@njit(cache=True)
def _first_exit(a, b, labels, threshold):
    """Smallest angle f > 0 at which max_k (a cos f + b sin f) leaves its side for some pattern; at most pi."""
    turn = 2 * np.pi
    exit_ = np.pi
    for p in range(a.shape[0]):
        if labels[p] < 0:
            for k in range(a.shape[1]):  # enters [centre - half, centre + half], where it fires
                radius = np.hypot(a[p, k], b[p, k])
                if radius > threshold:
                    start = (np.arctan2(b[p, k], a[p, k]) - np.arccos(threshold / radius)) % turn
                    exit_ = min(exit_, start)
        else:
            reach = 0.0
            grown = True
            while grown and reach < exit_:  # follow bins that fire on, one after the other
                grown = False
                for k in range(a.shape[1]):
                    radius = np.hypot(a[p, k], b[p, k])
                    if radius > threshold:
                        half = np.arccos(threshold / radius)
                        centre = np.arctan2(b[p, k], a[p, k]) % turn
                        for shift in (-turn, 0.0):
                            if centre + shift - half <= reach < centre + shift + half - 1e-12:
                                reach = centre + shift + half
                                grown = True
            exit_ = min(exit_, reach)
    return exit_


def chord_accuracy(
    first: np.ndarray, second: np.ndarray, accuracy: Callable[[np.ndarray], float], points: int = 21
) -> float:
    """Worst accuracy on the straight chord (1-s) w + s w' at `points` values of s."""
    return min(accuracy((1 - s) * first + s * second) for s in np.linspace(0, 1, points))


def clusters(weights: np.ndarray, accuracy: Callable[[np.ndarray], float], points: int = 21) -> tuple[int, np.ndarray]:
    """Single linkage of solutions (S, N) on "the chord is feasible": number of clusters, worst accuracy of each pair.

    A blocked chord does not prove separation: two cells may join by a curved path.
    """
    n = len(weights)
    worst = np.ones((n, n))
    for i in range(n):
        for j in range(i):
            worst[i, j] = worst[j, i] = chord_accuracy(weights[i], weights[j], accuracy, points)
    return int(connected_components(worst >= 1)[0]), worst[np.triu_indices(n, 1)]


def planted_load(q: np.ndarray, k: float) -> np.ndarray:
    """alpha(q): the load at which two typical solutions of K bins have overlap q (any shape, 0 < q < 1).

    Replica theory for uniform solutions (planted, m = 1, q0 = 0) at the threshold where half of the patterns fire:
    alpha = q / (2 (1-q) L'(q)), L = 1/2 sum_{s=+-} E[P_s ln P_s] / E[P_s], P_- = prod_k Phi((theta - sqrt(q) z_k) /
    sqrt(1-q)), P_+ = 1 - P_-. Where alpha(q) bends back, a branch of close solutions coexists with a distant one.
    """
    q = np.asarray(q, dtype=float)
    if not ((q > 0) & (q < 1)).all():
        raise ValueError(f"overlaps must lie strictly between 0 and 1, not {q[~((q > 0) & (q < 1))][0]}")
    h = 1e-4 * np.minimum(q, 1 - q)
    slope = np.vectorize(lambda v, d: (_entropy(v + d, k) - _entropy(v - d, k)) / (2 * d))(q, h)
    return q / (2 * (1 - q) * slope)


_Z, _Z_WEIGHT = roots_legendre(800)
_Z, _Z_WEIGHT = 9 * _Z, 9 * _Z_WEIGHT * np.exp(-((9 * _Z) ** 2) / 2) / np.sqrt(2 * np.pi)


def _entropy(q: float, k: float) -> float:
    """L(q), from one-dimensional integrals: P_- is a product over independent bins, so E[P_-^j] = (E Phi^j)^K, and
    (1-P) ln(1-P) = -P + sum_{j>=2} P^j / (j (j-1)); the tail of the sum beyond 2000 is integrated."""
    theta = median_threshold(k)
    log_phi = log_ndtr((theta - np.sqrt(q) * _Z) / np.sqrt(1 - q))
    phi = np.exp(log_phi)
    mean = float(_Z_WEIGHT @ phi)
    null = k * float(_Z_WEIGHT @ (phi * log_phi)) * mean ** (k - 1)
    j = np.concatenate([np.arange(2, 2001), np.geomspace(2000.5, 1e8, 400)])
    moments = np.exp(k * np.log(np.maximum(_Z_WEIGHT @ np.exp(log_phi[:, None] * j), 1e-300)))
    terms = moments / (j * (j - 1))
    target = -(mean**k) + terms[:1999].sum() + np.trapezoid(terms[1999:] * j[1999:], np.log(j[1999:]))
    return 0.5 * (null / mean**k + target / (1 - mean**k))
