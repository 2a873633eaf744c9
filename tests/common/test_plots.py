"""The figures' style."""

import re
from itertools import pairwise

import matplotlib.pyplot as plt
import pytest

from tessera.common import plots


@pytest.mark.parametrize("places", [[0.5, 0.5, 0.5], [0.0, 0.01, 0.02], [0.97, 0.98, 0.99], [0.1, 0.5, 0.9]])
def test_names_are_moved_apart_within_the_axes(places):
    made = plots.spread(places, 0.1, 0.0, 1.0)
    assert all(b - a >= 0.1 - 1e-9 for a, b in pairwise(made))
    assert made[0] >= 0 and made[-1] <= 1


def test_names_with_room_stay_where_they_are():
    assert plots.spread([0.1, 0.5, 0.9], 0.1, 0.0, 1.0) == [0.1, 0.5, 0.9]
    assert plots.spread([], 0.1, 0.0, 1.0) == []


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for name in ("a.svg", "b.svg"):
        figure, axes = plots.grid(1, 1, 2.0)
        axes[0, 0].plot([0, 1], [1, 2])
        plots.label_ends(figure, {axes[0, 0]: [("one", 2.0, plots.BLUE), ("two", 2.0, plots.RED)]})
        plots.save(figure, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"dc:date" not in (tmp_path / "a.svg").read_bytes()


@pytest.mark.filterwarnings("error")
def test_what_no_eye_sees_makes_no_other_bytes(tmp_path):
    def drawn(path, shift):
        figure, axes = plt.subplots()
        axes.plot([0.1 + shift, 0.7, 0.9], [0.3, 0.2 + shift, 0.8], label="one")
        axes.scatter([0.5 + shift], [0.5], alpha=1 / 3)
        axes.set_xlabel("a long name with $x^2$")
        plots.save(figure, path)
        return path.read_text()

    first, second, other = (drawn(tmp_path / f"{n}.svg", shift) for n, shift in enumerate((0, 1e-9, 0.01)))
    assert first == second != other
    assert "scale(0.015625)" in first and "0.333333" in first
    places = re.sub(r'scale\([^)]*\)|style="[^"]*"|<!--.*?-->', "", first, flags=re.DOTALL)
    assert not re.search(r"\d\.\d{3}", places) and not re.search(r'[" ]-0[" ]', places)


def test_a_logarithmic_axis_leaves_out_zeros():
    _, axes = plots.grid(1, 1, 2.0)
    axes[0, 0].plot([0, 1, 2], [0.0, 0.1, 0.2])
    plots.log_scale(axes[0, 0].yaxis)
    assert axes[0, 0].get_yscale() == "log"
