"""Random numbers by name: every step draws from its own stream, derived from the one seed in params.yaml.

A stream depends on the seed and on the names alone, so that a step that is added, moved or run in parallel leaves the
others as they were.
"""

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def _sequence(root: int, names: tuple[str | int, ...]) -> np.random.SeedSequence:
    if root < 0:
        raise ValueError(f"seed = {root}: valid is an integer >= 0")
    # Python's own hash of a string changes with the process. JSON keeps ("a", "b") and ("a/b",) apart.
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return np.random.SeedSequence(root, spawn_key=tuple(np.frombuffer(digest, "<u4").tolist()))


def seed(root: int, *names: str | int) -> int:
    """Seed of the stream that names tell, for libraries that take an integer: 0 to 2^32 - 1.

    `seed(params.seed, "library", layer)` is the same on every machine. Raises ValueError where root is negative.
    """
    return int(_sequence(root, names).generate_state(1)[0])


def generator(root: int, *names: str | int) -> np.random.Generator:
    """NumPy generator of the stream that names tell."""
    return np.random.default_rng(_sequence(root, names))


def torch_generator(root: int, *names: str | int, device: str = "cpu") -> "torch.Generator":
    """Torch generator of the stream that names tell, for random numbers drawn on device."""
    import torch

    return torch.Generator(device=device).manual_seed(seed(root, *names))
