"""Spaces: the way to the cube and back, and what is refused."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tessera.bayesopt import Categorical, Fixed, Float, Int, Optimizer, Space

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


EXTREME = [
    Float(low=1e-300, high=1e10, log=True),
    Float(low=5e-324, high=1e300, log=True),
    Float(low=-1e307, high=8e307),
    Float(low=1e16, high=1e16 + 1e5, log=True),
    Int(low=0, high=2**62),
    Int(low=-(2**62), high=2**62),
    Int(low=10**5, high=2**62, log=True),
    Int(low=2**60, high=2**60 + 10**6),
    Int(low=2**60, high=2**60 + 10**6, log=True),
]


@pytest.mark.parametrize("variable", EXTREME, ids=repr)
@given(st.floats(0, 1))
@example(0.0002133440275717874)
def test_extreme_ranges_are_covered_evenly(variable: Float | Int, share: float) -> None:
    """The point at a share of the axis lies at that share of the range, and is read back as told."""
    value = variable.from_axes(np.array([share]))
    assert variable.low <= value <= variable.high
    (back,) = variable.to_axes(value)
    assert 0 <= back <= 1
    # Near 5e-324 a number's neighbours are 5e-4 of the axis apart, and the share is known no better.
    above = min(math.nextafter(value, math.inf), variable.high) if isinstance(variable, Float) else value
    assert back == pytest.approx(share, abs=max(1e-4, variable.to_axes(above)[0] - back))
    assert variable.from_axes(np.array([back])) == pytest.approx(value, rel=1e-9)


def test_a_range_of_310_decades_is_searched_where_the_minimum_is() -> None:
    optimizer = Optimizer({"x": Float(low=1e-300, high=1e10, log=True)})
    for _ in range(12):
        (trial,) = optimizer.ask()
        optimizer.tell(trial, abs(math.log10(trial.params["x"]) + 100))
    assert len({trial.params["x"] for trial in optimizer.trials}) == 12
    best = optimizer.best()
    assert best is not None
    assert best.value is not None
    assert best.value < 10


def test_values_of_numpy_are_taken(tmp_path: Path) -> None:
    space = {
        "a": Float(low=np.float32(0.5), high=np.int64(2)),
        "n": Int(low=np.int64(1), high=np.int32(9)),
        "c": Categorical(choices=np.array(["x", "y"])),
        "b": Categorical(choices=[None, np.bool_(True), np.float32(2.5), "z"]),
        "f": Fixed(value=np.int8(3)),
        "plain": {"kind": "int", "low": np.int64(0), "high": np.int64(4)},
    }
    optimizer = Optimizer(space, seed=np.int64(4), rho=np.float32(0.4), starts=np.int64(3), journal=tmp_path)
    given = {
        "a": np.float32(1.5),
        "n": np.int64(3),
        "c": np.str_("y"),
        "b": np.bool_(True),
        "f": 3,
        "plain": np.int8(2),
    }
    trial = optimizer.add(given)
    assert trial.params == {"a": 1.5, "n": 3, "c": "y", "b": True, "f": 3, "plain": 2}
    assert {type(value) for value in trial.params.values()} == {float, int, str, bool}
    told = optimizer.tell(np.int64(0), np.float32(0.25), feasible=np.bool_(True))
    assert (type(told.value), type(told.feasible)) == (float, bool)
    assert Optimizer(space, seed=4, rho=np.float32(0.4), starts=3, journal=tmp_path).trials == [told]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Float(low=1.0, high=1.0), "the range is empty; expected low < high, or kind: fixed"),
        (lambda: Float(low="a", high=1.0), "low = 'a'; must be a valid number"),
        (lambda: Float(low=0.0, high=1.0, lo=0.0), "lo: unknown key; did you mean 'low'?"),
        (lambda: Int(low=0, high=2**63), "expected integers of at most 63 bits"),
        (lambda: Int(low=0, high=10**400), "expected integers of at most 63 bits"),
        (lambda: Categorical(choices=["a"]), "choices"),
        (lambda: Categorical(choices=["a", "b", math.inf]), r"choices\.2 = inf; must be a finite number"),
        (lambda: Categorical(choices=[min, max]), "<built-in function min>; expected a number, a text"),
        (lambda: Space({"x": {"kind": "categorical", "choices": [min, max]}}), r"space\.x\.choices\[0\] = <built-in"),
        (lambda: Space([Float(low=0.0, high=1.0)]), "expected a mapping from names to variables"),
        (lambda: Space({1: Float(low=0.0, high=1.0)}), "expected a mapping from names to variables"),
        (lambda: Optimizer(MIXED, seed=1.5), r"seed = 1\.5; expected an integer from 0"),
        (lambda: Optimizer(MIXED, starts=2.5), r"starts = 2\.5; expected an integer from 1"),
        (lambda: Optimizer(MIXED, rho="much"), "rho = 'much'; expected a number"),
        (lambda: Optimizer(MIXED).ask(1.5), r"n = 1\.5; expected an integer from 1"),
        (lambda: Optimizer(MIXED).tell("first", 1.0), "trial = 'first'; expected an integer from 0"),
        (lambda: Optimizer(MIXED).tell(0, "1.0"), "trial 0: value = '1.0'; expected a number"),
        (lambda: Optimizer(MIXED).tell(0, 1j), "trial 0: value = 1j; expected a number"),
        (lambda: Optimizer(MIXED).add([1, 2]), r"a point has the variables \[1, 2\]"),
    ],
)
def test_faults_are_one_line(made: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        made()
    assert "\n" not in str(caught.value)


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
        ({"rate": 2.0}, r"rate = 2.0; expected a number from 1e-05 to 1.0"),
        ({"rate": True}, "rate = True"),
        ({"layers": 2.0}, "layers = 2.0; expected an integer from 1 to 7"),
        ({"kind": "c"}, "kind = 'c'; expected one of"),
        ({"epochs": 6}, "epochs = 6; expected 5"),
        ({"other": 1}, "a point has the variables"),
    ],
)
def test_points_outside_are_refused(point: dict, message: str) -> None:
    inside = {"rate": 0.1, "share": 0.0, "layers": 2, "width": 8, "kind": 3, "epochs": 5}
    with pytest.raises(ValueError, match=message):
        Space(MIXED).to_cube(inside | point)
