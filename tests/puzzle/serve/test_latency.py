"""Latency of single tokens: how many are timed, and percentiles."""

import pytest

from tessera.puzzle.costs.params import CostTarget, Workload
from tessera.puzzle.models import loading
from tessera.puzzle.serve.latency import latencies, percentiles


def test_every_pass_of_every_round_is_timed(parent):
    workload = Workload(batch=2, prefill=5, decode=4)
    target = CostTarget(source="measured", hardware="cpu", dtype="float32", workload=workload, threads=1)
    models = {name: loading.load(parent()) for name in ("parent", "child")}
    found = latencies(models, target, 3)
    assert {name: [len(one["prefill"]), len(one["decode"])] for name, one in found.items()} == {
        "parent": [3, 12],
        "child": [3, 12],
    }
    assert all(value > 0 for one in found.values() for values in one.values() for value in values)


def test_percentiles():
    assert percentiles(range(101)) == {"p50": 50.0, "p90": 90.0, "p99": 99.0}
    assert percentiles([1.0, 2.0])["p50"] == pytest.approx(1.5)
    assert percentiles([]) == {}
