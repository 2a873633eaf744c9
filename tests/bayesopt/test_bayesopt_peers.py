"""Other packages' optimisers in the benchmark: asked and told as ours are, and the same for the same seed."""

import sys

import pytest

from tessera.bayesopt import benchmark, functions, peers
from tessera.bayesopt.benchmark import Schedule
from tessera.bayesopt.params import Peer
from tessera.bayesopt.space import Space
from tessera.bayesopt.variables import Float, Int

BRANIN = functions.get("branin")


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["botorch", "botorch-filtered", "ax", "optuna-tpe", "optuna-gp"])
def test_a_peer_learns_and_can_be_repeated(peer: Peer) -> None:
    pytest.importorskip(peer.partition("-")[0], reason="needs the extra peers")
    runs = []
    for _ in range(2):
        sampler = peers.make(peer, BRANIN, 5, "hard")
        table, seconds = benchmark.simulate(BRANIN, sampler, Schedule("async", 4), 12, 5)
        assert len(seconds) == 12
        assert table[["x0", "x1"]].to_numpy().min() >= 0
        assert table[["x0", "x1"]].to_numpy().max() <= 1
        runs.append(table)
    assert runs[0].equals(runs[1])
    # A uniform point's median regret is 33.
    assert benchmark.regret_by_evaluation(runs[0])[-1] < 15


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["botorch", "ax", "optuna-tpe", "optuna-gp"])
def test_a_peer_recommends_what_it_has_been_told(peer: Peer) -> None:
    pytest.importorskip(peer.partition("-")[0], reason="needs the extra peers")
    sampler = peers.make(peer, BRANIN, 5, "none")
    table, _ = benchmark.simulate(BRANIN, sampler, Schedule("async", 4), 9, 5, noise=20.0)
    ordered = table.sort_values("told")
    assert all(chosen in set(ordered["trial"][: n + 1]) for n, chosen in enumerate(ordered["recommended"]))
    if peer.startswith("optuna"):
        assert ordered["recommended"].iloc[-1] == table["trial"][table["value"].idxmin()]


@pytest.mark.slow
def test_the_filter_keeps_botorch_from_the_edge() -> None:
    pytest.importorskip("botorch", reason="needs the extra peers")
    sampler = peers.make("botorch-filtered", BRANIN, 1, "hard")
    table, _ = benchmark.simulate(BRANIN, sampler, Schedule("async", 4), 10, 1)
    made = table[table["kind"] == "peer"][["x0", "x1"]].to_numpy()
    assert len(made) > 2
    assert ((made > 0.02) & (made < 0.98)).all()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botorch", None)
    with pytest.raises(ImportError, match=r"the sampler botorch needs botorch: pip install 'tessera\[peers\]'"):
        peers.make("botorch", BRANIN, 0, "none")


def test_only_plain_floats() -> None:
    for variable in (Int(low=0, high=3), Float(low=1, high=2, log=True)):
        function = functions.Function("f", Space({"x0": variable}), 0.0, lambda x: 0.0)
        with pytest.raises(ValueError, match=r"x0 is .*; expected a float on a linear scale"):
            peers._box(function)
