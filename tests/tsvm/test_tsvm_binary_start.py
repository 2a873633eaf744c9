"""Times to fire at by mixed-integer programming, as a start for the binary margin."""

import numpy as np
import pytest

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import binary, binary_start, layout

PSP = DoubleExponential()


def task(seed: int, nulls: int = 4, targets: int = 3, n: int = 12):
    rng = np.random.default_rng(seed)
    spikes = SpikeBatch.from_dense(rng.uniform(0, 80.0, (nulls + targets, n)), 80.0)
    part = np.arange(nulls + targets) < nulls
    return [
        layout.build(side, [np.empty(0)] * len(side), PSP, 2.0, 0.0, exact=False)
        for side in (spikes[part], spikes[~part])
    ]


def test_its_times_start_steps_that_end_in_a_margin_no_smaller_than_theirs():
    nulls, targets = task(0)
    times = binary_start.firing_times(nulls, targets, step=8.0)
    assert times.shape == (3,) and ((times > 0) & (times < 80)).all() and np.allclose(times % 8, 0)
    solution = binary.solve(nulls, targets, start=times)
    assert solution.low > 0 and solution.history[-1] >= solution.history[0] * (1 - 1e-6)


def test_it_is_the_best_of_all_choices_of_candidates_in_its_norm():
    nulls, targets = task(1, nulls=2, targets=2, n=6)
    step = 20.0
    times = binary_start.firing_times(nulls, targets, step=step)
    margins = {pair: box_margin(nulls, targets, pair, step) for pair in np.ndindex(3, 3)}
    chosen = tuple((times / step).astype(int) - 1)
    assert margins[chosen] == pytest.approx(max(margins.values()), abs=1e-6)


def box_margin(nulls, targets, pair, step) -> float:
    """The margin with times fixed, by linear programming."""
    from scipy.optimize import linprog

    at = (np.array(pair) + 1) * step
    firing = targets.traces(np.arange(2), at)[0]
    grid = np.arange(step, 80.0, step)
    silent = nulls.traces(np.repeat(np.arange(2), len(grid)), np.tile(grid, 2))[0]
    rows = np.vstack([np.hstack([-firing, np.ones((2, 2))]), np.hstack([silent, np.full((len(silent), 1), -1.0),
                                                                      np.ones((len(silent), 1))])])  # fmt: skip
    bounds = [(-1, 1)] * 6 + [(None, None)] * 2
    return -linprog(np.append(np.zeros(7), -1.0), rows, np.zeros(len(rows)), bounds=bounds).fun


def test_what_cannot_be_done_or_asked_is_refused():
    nulls, targets = task(2)
    with pytest.raises(ValueError, match="no weights fire on all targets"):
        binary_start.firing_times(nulls, nulls, step=20.0)
    with pytest.raises(ValueError, match=r"step is 0\.0 ms"):
        binary_start.firing_times(nulls, targets, step=0.0)
    with pytest.raises(ValueError, match="one time in ms inside each of 3 patterns"):
        binary.solve(nulls, targets, start=np.array([5.0, 90.0, 5.0]))


@pytest.mark.parametrize("seed", range(3))
def test_a_null_inside_its_margin_is_not_cut_at_the_same_height_again(seed, monkeypatch):
    """Overlapping classes: weights move in their last digits, and with them the times at which nulls are highest."""
    rows = []
    program = binary._separate_softly
    monkeypatch.setattr(
        binary, "_separate_softly", lambda *args: (rows.append(len(args[0]) + len(args[1])), program(*args))[1]
    )
    nulls, targets = task(seed, nulls=40, targets=30, n=6)
    solution = binary.solve(nulls, targets, c=0.1)
    assert 0 <= solution.low <= solution.up
    # A handful of cuts per null, not one per null and round of up to 60.
    assert max(rows) < 5 * 70 and len(rows) < 15 * len(solution.history)
