"""The margin of binary labels: fixed and moved times, certificates, and its scale."""

import numpy as np
import pytest

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import binary, layout, neuron
from tessera.tsvm.tasks import poisson_problem

PSP = DoubleExponential()


def silent(spikes, scale=1.0):
    return layout.build(spikes, [np.empty(0)] * len(spikes), PSP, 2.0, 0.0, scale, exact=False)


def test_binary_labels_by_fixed_and_moved_times():
    rng = np.random.default_rng(3)
    patterns = [poisson_problem(rng, 60, 1, duration=100.0)[0][0] for _ in range(12)]
    spikes = SpikeBatch.from_patterns(patterns, 60, 100.0)
    solution = binary.solve(*(silent(spikes[part]) for part in (np.arange(6), np.arange(6, 12))))
    assert all(b >= a * (1 - 1e-5) for a, b in zip(solution.history, solution.history[1:], strict=False))
    assert 0 < solution.low <= solution.up * (1 + 1e-6) and solution.up <= solution.low * (1 + 1e-3)
    out = neuron.simulate(solution.w, solution.theta, spikes, PSP)
    assert [len(times) > 0 for times in out] == [False] * 6 + [True] * 6


def test_binary_labels_of_the_same_pattern_and_of_its_multiple_are_refuted():
    pattern = poisson_problem(np.random.default_rng(1), 40, 1)[0][0]
    once = SpikeBatch.from_patterns([pattern], 40, 300.0)
    twice = SpikeBatch.from_patterns([[np.repeat(part, 2) for part in pattern]], 40, 300.0)
    for null in (once, twice):
        solution = binary.solve(silent(null), silent(once))
        assert (solution.low, solution.up) == (0.0, 0.0)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_binary_margins_scale_with_the_traces(scale):
    rng = np.random.default_rng(3)
    patterns = [poisson_problem(rng, 60, 1, duration=100.0)[0][0] for _ in range(12)]
    parts = [SpikeBatch.from_patterns(part, 60, 100.0) for part in (patterns[:6], patterns[6:])]
    plain, scaled = (binary.solve(*(silent(part, s) for part in parts)) for s in (1.0, scale))
    assert 0 < plain.low <= plain.up <= plain.low * (1 + 1e-5)
    assert scaled.low == pytest.approx(scale * plain.low, rel=1e-6) and scaled.up == pytest.approx(scale * plain.up)
