"""Random walks on the integers."""

import numpy as np


def distances(steps: int, walks: int, rng: np.random.Generator) -> np.ndarray:
    """Mean square distance (steps,) from the start after each step; its expectation is the number of steps."""
    positions = rng.choice([-1, 1], size=(walks, steps)).cumsum(axis=1)
    return (positions**2).mean(axis=0)
