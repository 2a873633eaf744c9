"""The figures' style."""

from itertools import pairwise

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
def test_a_logarithmic_axis_leaves_out_zeros():
    _, axes = plots.grid(1, 1, 2.0)
    axes[0, 0].plot([0, 1, 2], [0.0, 0.1, 0.2])
    plots.log_scale(axes[0, 0].yaxis)
    assert axes[0, 0].get_yscale() == "log"
