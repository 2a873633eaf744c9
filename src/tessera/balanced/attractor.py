"""Memories as fixed points: dynamics of a trained network of binary neurons, with output noise, and basins.

Neurons are updated one by one in random order, x_i = 1 if J_i.x - 1 + sigma N(0, 1) > 0 else 0. The fields J x change
only where a neuron flips, so that a cycle in a fixed point costs N comparisons.
"""

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray


@njit(cache=True)
def _cycle(columns, state, field, order, noise):
    """One asynchronous cycle in place: columns[j] are the weights from j; field = J x - 1. Returns the flips."""
    flips = 0
    for k in range(order.size):
        i = order[k]
        new = 1.0 if field[i] + noise[k] > 0 else 0.0
        if new != state[i]:
            change = new - state[i]
            state[i] = new
            flips += 1
            for j in range(state.size):
                field[j] += change * columns[i, j]
    return flips


def _checked(weights: ArrayLike, states: ArrayLike) -> tuple[NDArray, NDArray]:
    weights, states = np.asarray(weights, float), np.atleast_2d(np.asarray(states, float))
    if weights.ndim != 2 or weights.shape != (states.shape[1],) * 2 or not np.isfinite(weights).all():
        raise ValueError(f"weights: shape {weights.shape}, expected a finite ({states.shape[1]}, {states.shape[1]})")
    if not np.isin(states, (0, 1)).all():
        raise ValueError("states: expected activities of 0 and 1")
    return np.ascontiguousarray(weights.T), states


def stable(
    weights: ArrayLike, memory: ArrayLike, sigma: float, cycles: int, tolerance: float, rng: np.random.Generator
) -> bool:
    """Does the network stay within a Hamming distance of tolerance * N of the memory (N,) for all cycles, under noise?

    weights (N, N), J[i, j] from j to i; sigma >= 0 in threshold units.
    """
    columns, states = _checked(weights, memory)
    memory, state = states[0], states[0].copy()
    field = state @ columns - 1
    for _ in range(cycles):
        order = rng.permutation(len(state))
        _cycle(columns, state, field, order, sigma * rng.standard_normal(len(state)))
        if np.abs(state - memory).mean() > tolerance:
            return False
    return True


def recovers(
    weights: ArrayLike, memory: ArrayLike, start: ArrayLike, cycles: int, tolerance: float, rng: np.random.Generator
) -> bool:
    """Does the noiseless network, from a start (N,), reach the memory exactly within the cycles?

    Given up if the Hamming distance exceeds tolerance * N after a cycle, and at any other fixed point.
    """
    columns, states = _checked(weights, np.stack([np.asarray(memory), np.asarray(start)]))
    memory, state = states[0], states[1].copy()
    field = state @ columns - 1
    quiet = np.zeros(len(state))
    for _ in range(cycles):
        flips = _cycle(columns, state, field, rng.permutation(len(state)), quiet)
        distance = np.abs(state - memory).mean()
        if flips == 0 or distance > tolerance:
            return bool(distance == 0)
    return bool(np.array_equal(state, memory))


def corrupted(memory: NDArray, distance: float, activity: NDArray, rng: np.random.Generator) -> NDArray:
    """Flip 1 -> 0 with probability d and 0 -> 1 with d q/(1-q): keeps the mean activity q (N,) of each neuron."""
    chance = np.where(memory > 0, distance, distance * activity / (1 - activity))
    return np.where(rng.random(len(memory)) < chance, 1 - memory, memory)


def is_fixed_point(weights: ArrayLike, memories: ArrayLike) -> NDArray:
    """Which memories (P, N) does the noiseless network keep? (P,) bool."""
    columns, states = _checked(weights, memories)
    return np.all((states @ columns - 1 > 0) == (states > 0), axis=1)
