import numpy as np
import pytest

from tessera.neurons.psp import DoubleExponential
from tessera.tempotron.findable import Crossing, Task, attempt, half_crossing
from tessera.tempotron.learn import Tempotron


def test_half_crossing_recovers_the_load_and_covers_it():
    rng = np.random.default_rng(0)
    loads = np.repeat(np.arange(1.5, 3.6, 0.25), 40)
    solved = rng.random(len(loads)) < 1 / (1 + np.exp((loads - 2.6) / 0.15))
    crossing = half_crossing(loads, solved, rng, bootstrap=300)
    assert crossing.load == pytest.approx(2.6, abs=0.08)
    assert crossing.low < 2.6 < crossing.high and crossing.high - crossing.low < 0.3


def test_half_crossing_of_a_step_lies_between_the_loads():
    loads = np.repeat([1.0, 2.0, 3.0, 4.0], 5)
    crossing = half_crossing(loads, loads < 2.5, np.random.default_rng(0), bootstrap=50)
    assert crossing.load == pytest.approx(2.5, abs=0.1)


def test_half_crossing_outside_the_loads_is_none():
    loads = np.repeat([1.0, 1.5, 2.0], 5)
    assert half_crossing(loads, np.ones(15, bool), np.random.default_rng(0), 50) == Crossing(None, None, None)
    assert half_crossing(loads, np.zeros(15, bool), np.random.default_rng(0), 50).load is None


def test_attempts_are_repeatable_and_differ_between_streams():
    task, model = Task("single", 30, 20.0, 1.5), Tempotron(learning_rate=1e-3, max_epochs=200)
    a, b, c = (attempt(task, model, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(a.coef_, b.coef_) and not np.array_equal(a.coef_, c.coef_)
    assert task.n_patterns == 45
    spikes, labels = task.draw(DoubleExponential(), np.random.default_rng(0))
    assert len(spikes) == len(labels) == 45 and spikes.duration == pytest.approx(150)
