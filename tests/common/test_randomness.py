"""Random streams by name."""

import numpy as np
import pytest
import torch

from tessera.common import randomness


def test_known_values() -> None:
    # Committed results rest on these: they may not change with the machine, Python's hash seed or a release of NumPy.
    assert randomness.seed(0, "library", 3) == 1369342130
    assert randomness.generator(1, "a").integers(1000, size=3).tolist() == [358, 421, 990]


def test_each_name_has_its_own_stream() -> None:
    names = [(0, "a"), (1, "a"), (0, "a", "b"), (0, "a/b"), (0, "ab"), (0, "a", 1), (0, "a", "1"), (0,)]
    assert len({randomness.seed(*name) for name in names}) == len(names)


def test_range() -> None:
    seeds = [randomness.seed(0, "step", i) for i in range(1000)]
    assert min(seeds) >= 0
    assert 2**31 < max(seeds) < 2**32
    assert len(set(seeds)) == 1000


def test_generators_start_anew() -> None:
    one, two = (randomness.generator(7, "x").standard_normal(4) for _ in range(2))
    assert np.array_equal(one, two)
    three, four = (torch.rand(4, generator=randomness.torch_generator(7, "x")) for _ in range(2))
    assert torch.equal(three, four)
    assert not torch.equal(three, torch.rand(4, generator=randomness.torch_generator(7, "y")))


def test_negative_root() -> None:
    with pytest.raises(ValueError, match="seed = -1: valid is an integer >= 0"):
        randomness.seed(-1, "x")
