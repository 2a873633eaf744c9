"""The timing engine against a clock that is made up: no real time is asserted."""

import random
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.puzzle.costs import timing
from tessera.puzzle.costs.timing import Piece, marginals, summary


class Machine:
    """A machine whose clock advances by an overhead a run and by the given seconds a copy."""

    def __init__(self, seconds: dict[str, float], overhead: float = 0.3, disturbance=lambda run: 1.0):
        self.seconds, self.overhead, self.disturbance = seconds, overhead, disturbance
        self.clock, self.runs, self.log = 0.0, 0, []

    def piece(self, name: str, copies: int) -> Piece:
        def run(n: int) -> None:
            self.runs += 1
            self.log.append((name, n))
            self.clock += self.disturbance(self.runs) * (self.overhead + n * self.seconds[name])

        return Piece(name, copies, run)

    def stopwatch(self, run, loops: int) -> float:
        before = self.clock
        for _ in range(loops):
            run()
        return (self.clock - before) / loops


def test_marginal_is_free_of_the_overhead():
    machine = Machine({"a": 0.02, "b": 0.5}, overhead=7.0)
    found = marginals([machine.piece("a", 5), machine.piece("b", 3)], 4, machine.stopwatch)
    assert found["a"].seconds == pytest.approx(0.02)
    assert found["b"].seconds == pytest.approx(0.5)
    assert found["a"].spread == pytest.approx(0, abs=1e-9)


def test_pieces_take_turns():
    machine = Machine({"a": 1.0, "b": 1.0})
    marginals([machine.piece("a", 2), machine.piece("b", 2)], 2, machine.stopwatch)
    rounds = machine.log[4:]  # after two warm-up runs of each
    assert [name for name, _ in rounds] == ["a", "a", "b", "b"] * 2
    assert [n for _, n in rounds] == [2, 4, 2, 4, 4, 2, 4, 2]


def test_short_pieces_are_run_several_times():
    machine = Machine({"a": 1e-5}, overhead=0.0)
    marginals([machine.piece("a", 10)], 2, machine.stopwatch)
    assert machine.runs == 2 + 2 * 2 * round(timing.SHORTEST_SAMPLE / 1e-4)


def test_linear_drift_cancels():
    machine = Machine({"a": 1.0}, disturbance=lambda run: 1 + 1e-4 * run)
    assert marginals([machine.piece("a", 8)], 20, machine.stopwatch)["a"].seconds == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_disturbed_half_of_the_time(seed):
    rng = random.Random(seed)
    samples = [
        tuple(t * rng.choice((1.0, 1.9)) * (1 + 0.03 * abs(rng.gauss(0, 1))) for t in (5.0, 10.0)) for _ in range(20)
    ]
    assert summary(samples, 5).seconds == pytest.approx(1.0, rel=0.1)


def test_spread_tells_of_noise():
    rng = random.Random(0)
    noisy = [(5 + rng.random(), 10 + 5 * rng.random()) for _ in range(10)]
    steady = [(5 + 0.01 * rng.random(), 10 + 0.01 * rng.random()) for _ in range(10)]
    assert summary(steady, 5).spread < 0.01 < timing.LARGEST_SPREAD < summary(noisy, 5).spread


def test_uncertain_marginal_is_measured_on():
    rng = random.Random(0)
    machine = Machine({"wild": 1.0, "calm": 1.0})
    machine.disturbance = lambda run: 1 + 3 * rng.random() * (machine.log[-1][0] == "wild")
    found = marginals([machine.piece("wild", 2), machine.piece("calm", 2)], 4, machine.stopwatch)
    runs = [name for name, _ in machine.log]
    assert runs.count("wild") == 2 + 2 * 4 * (1 + timing.MORE)
    assert runs.count("calm") == 2 + 2 * 4
    assert found["calm"].certain
    assert not found["wild"].certain


def test_piece_below_the_clocks_resolution_is_not_run_for_ever():
    machine = Machine({"a": 0.0}, overhead=0.0)
    with pytest.raises(RuntimeError, match="a: 2 copies take no time on this clock"):
        marginals([machine.piece("a", 1)], 2, machine.stopwatch)
    assert machine.runs <= 2 + 2 * 2 * (1 + timing.MORE) * timing.MOST_LOOPS


def test_marginal_lost_in_noise_becomes_a_bound_by_name():
    machine = Machine({"attention.kv1 decode": -0.01, "calm": 0.5}, overhead=1.0)
    pieces = [machine.piece("attention.kv1 decode", 4), machine.piece("calm", 4)]
    with pytest.warns(UserWarning, match=r"^attention\.kv1 decode: lost in the noise of 12 rounds"):
        found = marginals(pieces, 4, machine.stopwatch)
    lost = found["attention.kv1 decode"]
    assert lost.bound and lost.spread == 1.0 and lost.seconds == pytest.approx((1.0 - 8 * 0.01) / 8)
    assert found["calm"].seconds == pytest.approx(0.5) and not found["calm"].bound


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), load=st.floats(1.0, 20.0))
def test_a_busy_machine_ends_in_times_with_their_spread(seed, load):
    """However other work disturbs the runs, there is a positive time; the true one is below every bound."""
    rng = random.Random(seed)
    machine = Machine({"a": 1e-4, "b": 0.3}, overhead=0.2, disturbance=lambda run: rng.uniform(1.0, load))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = marginals([machine.piece("a", 3), machine.piece("b", 2)], 2, machine.stopwatch)
    for name, marginal in found.items():
        assert marginal.seconds > 0 and 0 <= marginal.spread < float("inf")
        assert not marginal.bound or (marginal.spread == 1.0 and marginal.seconds >= machine.seconds[name])


def test_marginal_that_was_negative_by_chance_is_measured_again():
    # The first rounds are disturbed while N copies run, the later ones are not.
    machine = Machine({"a": 1.0})
    machine.disturbance = lambda run: 3.0 if run <= 10 and machine.log[-1][1] == 4 else 1.0
    found = marginals([machine.piece("a", 4)], 4, machine.stopwatch)
    assert found["a"].seconds == pytest.approx(1.0)
