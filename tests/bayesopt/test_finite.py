"""Finite spaces: every point once before any comes twice."""

import numpy as np
import pytest

from tessera.bayesopt import Categorical, Fixed, Float, Int, Optimizer, Space, finite

SIXTY = {"n": Int(low=1, high=10), "c": Categorical(choices=("a", "b", "c", "d", "e", "f")), "k": Fixed(value=3)}


def loss(params: dict) -> float:
    return (params["n"] - 4) ** 2 / 10 + "cabdef".index(params["c"])


def points(optimizer: Optimizer) -> list[tuple]:
    return [tuple(trial.params.values()) for trial in optimizer.trials]


@pytest.mark.parametrize("method", ["bop", "fubar", "thompson", "ucb", "random"])
def test_no_point_is_tried_twice_while_others_are_left(method: str) -> None:
    optimizer = Optimizer(SIXTY | {"n": Int(low=4, high=5)}, method=method, seed=1)
    for _ in range(4):
        for trial in optimizer.ask(3):
            optimizer.tell(trial, loss(trial.params))
    assert len(set(points(optimizer))) == 12
    assert optimizer.ask()[0].params in [trial.params for trial in optimizer.trials[:12]]  # repeats, now


def test_failed_and_pending_points_count_as_tried() -> None:
    optimizer = Optimizer(SIXTY | {"n": Int(low=3, high=5)}, seed=2)
    trials = optimizer.ask(8)
    for trial in trials[:4]:
        optimizer.tell(trial, loss(trial.params))
    optimizer.tell(trials[4], failed="no")
    optimizer.ask(10)
    assert len(set(points(optimizer))) == 18


def test_the_best_come_early() -> None:
    """What takes a repeat's place is chosen by the model too: the ten least are among the first 40."""
    optimizer = Optimizer(SIXTY, seed=0)
    for _ in range(40):
        (trial,) = optimizer.ask()
        optimizer.tell(trial, loss(trial.params))
    least = sorted(loss({"n": n, "c": c}) for n in range(1, 11) for c in "abcdef")[:10]
    assert sorted(loss(trial.params) for trial in optimizer.trials)[:10] == least


def test_spaces_too_large_to_list() -> None:
    space = {"a": Int(low=0, high=300), "b": Int(low=0, high=200), "c": Categorical(choices=("x", "y"))}
    optimizer = Optimizer(space, seed=3)
    for _ in range(30):
        (trial,) = optimizer.ask()
        params = trial.params
        optimizer.tell(trial, abs(params["a"] - 150) / 100 + abs(params["b"] - 90) / 100 + (params["c"] == "y"))
    assert len(set(points(optimizer))) == 30


def test_neighbours_of_a_tried_point_are_near_and_new() -> None:
    space = Space({"a": Int(low=0, high=10**9), "b": Int(low=0, high=2**62), "c": Categorical(choices=("x", "y"))})
    rng = np.random.default_rng(0)
    row = space.uniform(1, rng)[0]
    rows = finite.untried(space, row[None], row, rng)
    assert rows is not None
    assert not (rows == row).all(axis=1).any()
    assert np.abs(rows - row).max() < 0.03
    assert finite.untried(space, rows, row, rng) is None


def test_the_last_point_of_a_large_space_is_found() -> None:
    space = Space({"a": Int(low=1, high=finite.LISTED + 1)})
    rows = space.rows()
    rng = np.random.default_rng(0)
    left = finite.untried(space, rows[:-1], rows[0], rng)
    assert left is not None
    assert (left == rows[-1]).all()
    assert finite.untried(space, rows, rows[0], rng) is None


def test_infinite_spaces_are_left_alone() -> None:
    space = Space(SIXTY | {"x": Float(low=0.0, high=1.0)})
    row = space.uniform(1, np.random.default_rng(0))[0]
    assert space.size == np.inf
    assert finite.untried(space, row[None], row, np.random.default_rng(0)) is None
    assert len(Space(SIXTY).rows()) == Space(SIXTY).size == 60
