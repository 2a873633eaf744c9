"""Test functions: their least values at known places, and nothing below."""

import numpy as np
import pytest

from tessera.bayesopt import functions

MINIMA = {
    "branin": [np.pi, 2.275],
    "hartmann6": [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573],
    "ackley5": (32.768 * np.linspace(-0.45, 0.3, 5)).tolist(),
    "levy4": [1.0] * 4,
    "rosenbrock4": [1.0] * 4,
}


@pytest.mark.parametrize("name", MINIMA)
def test_classics_are_least_where_they_should_be(name: str) -> None:
    function = functions.get(name)
    point = dict(zip(function.space.variables, MINIMA[name], strict=True))
    assert function(point) == pytest.approx(function.least, abs=1e-5)
    rows = np.random.default_rng(0).random((2000, function.space.width))
    assert min(function(function.space.from_cube(row)) for row in rows) >= function.least


def test_values_of_the_literature() -> None:
    assert functions.get("branin")({"x0": -np.pi, "x1": 12.275}) == pytest.approx(0.397887, abs=1e-6)
    assert functions.rosenbrock(np.zeros(4)) == 3


@pytest.mark.parametrize("name", ["bbob-f8-d2", "sbox-f21-d5"])
def test_instances_of_ioh(name: str) -> None:
    one, other = functions.get(name, 1), functions.get(name, 2)
    rows = np.random.default_rng(0).random((200, one.space.width))
    for function in (one, other):
        assert min(function.regret(function.space.from_cube(row)) for row in rows) > 0
    assert one(one.space.from_cube(rows[0])) != other(other.space.from_cube(rows[0]))


@pytest.mark.parametrize("name", ["sphere", "bbob-f25-d2", "bbob-f1-d1", "bbob-f1"])
def test_unknown_functions_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected one of branin, hartmann6"):
        functions.get(name)
