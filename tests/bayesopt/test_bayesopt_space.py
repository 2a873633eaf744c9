"""Spaces: the way to the cube and back, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.bayesopt import Categorical, Fixed, Float, Int, Space

MIXED = {
    "rate": Float(low=1e-5, high=1.0, log=True),
    "share": Float(low=-2.0, high=3.0),
    "layers": Int(low=1, high=7),
    "width": Int(low=1, high=1024, log=True),
    "kind": Categorical(choices=("a", "b", 3)),
    "epochs": Fixed(value=5),
}


@given(st.lists(st.floats(0, 1), min_size=7, max_size=7))
def test_a_snapped_row_is_its_point(row: list[float]) -> None:
    space = Space(MIXED)
    snapped = space.snap(np.array([row]))[0]
    np.testing.assert_allclose(snapped[:2], row[:2], atol=5.1e-6)  # floats move to the next point of their grid
    point = space.from_cube(snapped)
    assert {name: point[name] for name in ("layers", "width", "kind")}.items() <= space.from_cube(np.array(row)).items()
    again = space.to_cube(point)
    for name, value in space.from_cube(again).items():
        assert value == (pytest.approx(point[name], rel=1e-12, abs=1e-12) if name in ("rate", "share") else point[name])
    np.testing.assert_allclose(snapped, again, atol=1e-9)
    assert all(
        variable.low <= point[name] <= variable.high
        for name, variable in MIXED.items()
        if isinstance(variable, Float | Int)
    )


def test_integers_and_choices_are_equally_likely() -> None:
    space = Space({"n": Int(low=0, high=3), "c": Categorical(choices=("x", "y"))})
    rows = space.uniform(20000, np.random.default_rng(0))
    points = [space.from_cube(row) for row in rows]
    counts = np.bincount([point["n"] for point in points])
    assert abs(counts / 20000 - 0.25).max() < 0.02
    assert abs(np.mean([point["c"] == "x" for point in points]) - 0.5) < 0.02


def test_a_logarithmic_axis_has_equal_ratios() -> None:
    space = Space({"rate": Float(low=1e-4, high=1.0, log=True)})
    assert [space.from_cube(np.array([u]))["rate"] for u in (0, 0.25, 1)] == pytest.approx([1e-4, 1e-3, 1.0])


def test_spaces_survive_json() -> None:
    space = Space(MIXED)
    again = Space(space.to_json())
    assert again.variables == space.variables
    assert again.width == 7
    assert again.free == 5
    assert again.edged.tolist() == [True, True, False, False, False, False, False]


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ({"kind": "float", "low": 1.0, "high": 1.0}, "x: low = 1.0, high = 1.0: the range is empty"),
        ({"kind": "float", "low": 2.0, "high": 1.0}, "the range is empty"),
        ({"kind": "float", "low": 0.0, "high": 1.0, "log": True}, "low = 0.0: a logarithmic range begins above 0"),
        ({"kind": "int", "low": -1, "high": 5, "log": True}, "low = -1: a logarithmic range begins above 0"),
        ({"kind": "float", "low": -1.7e308, "high": 1.7e308}, "wider than floats are"),
        ({"kind": "float", "low": math.nan, "high": 1.0}, "space.x.low"),
        ({"kind": "int", "low": 0.5, "high": 3}, "space.x.low = 0.5"),
        ({"kind": "categorical", "choices": ["a"]}, "space.x.choices"),
        ({"kind": "categorical", "choices": ["a", "a"]}, "a choice is there twice"),
        ({"kind": "fixed", "value": 3}, "no variable to optimise"),
        ({"kind": "real", "low": 0, "high": 1}, "space.x"),
    ],
)
def test_bad_variables_are_refused(variable: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space({"x": variable})


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"rate": 2.0}, r"rate = 2.0; valid is a number from 1e-05 to 1.0"),
        ({"rate": True}, "rate = True"),
        ({"layers": 2.0}, "layers = 2.0; valid is an integer from 1 to 7"),
        ({"kind": "c"}, "kind = 'c'; valid is one of"),
        ({"epochs": 6}, "epochs = 6; valid is 5"),
        ({"other": 1}, "a point has the variables"),
    ],
)
def test_points_outside_are_refused(point: dict, message: str) -> None:
    inside = {"rate": 0.1, "share": 0.0, "layers": 2, "width": 8, "kind": 3, "epochs": 5}
    with pytest.raises(ValueError, match=message):
        Space(MIXED).to_cube(inside | point)
