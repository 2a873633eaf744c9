"""Budgets as people state them."""

import pytest
from pydantic import ValidationError
from small_libraries import SIZE, TIME, library

from tessera.puzzle.search import ModelLimits, budgets

LIBRARY = library([[0, 1], [0, 2]], [[4.0, 1.0], [6.0, 2.0]], [[30, 10], [70, 20]])
INFO = {"batch": 4, "prefill": 100, "decode": 50, "max_num_tokens": 8192, "non_block": {"runtime_ms": 10.0}}


def test_shares_are_of_the_parent():
    assert budgets.resolve(LIBRARY, {SIZE: "80%", TIME: 7}) == {SIZE: 80.0, TIME: 7}
    assert budgets.resolve(LIBRARY, {SIZE: "12.5"}) == {SIZE: 12.5}
    assert budgets.resolve(LIBRARY, {SIZE: "50%"}, parent="v1") == {SIZE: 15.0}
    with pytest.raises(ValueError, match=r"stats\.parameters = 'much'; expected a number, or a percentage"):
        budgets.resolve(LIBRARY, {SIZE: "much"})


def test_speedup_divides_the_parents_runtime():
    assert budgets.runtime_for_speedup(LIBRARY, 1.25) == 8.0
    with pytest.raises(ValueError, match="speedup = 0; expected"):
        budgets.runtime_for_speedup(LIBRARY, 0)


def test_throughput_counts_all_or_output_tokens():
    # 4 x 150 tokens in 0.1 s are 6000 a second; 4 x 50 in 0.1 s are 2000.
    assert budgets.runtime_for_throughput(INFO, 6000) == pytest.approx(100)
    assert budgets.runtime_for_throughput(INFO, 2000, "output") == pytest.approx(100)
    assert budgets.runtime_for_throughput(INFO, 2000, "output", outside_ms=30) == pytest.approx(70)
    with pytest.raises(ValueError, match="embedding and head alone"):
        budgets.runtime_for_throughput(INFO, 6000, outside_ms=101)


def test_speed_is_of_the_blocks_and_of_the_whole_model():
    speed = budgets.speed(40.0, 90.0, INFO)
    assert speed["blocks_speedup"] == 2.25 and speed["model_speedup"] == 2.0
    assert speed["blocks_output_tokens_per_s"] == pytest.approx(4 * 50 / 0.04)
    assert speed["model_all_tokens_per_s"] == pytest.approx(4 * 150 / 0.05)
    assert budgets.speed(0.0, 90.0, INFO)["blocks_speedup"] is None
    assert budgets.speed(0.0, 90.0, INFO)["model_speedup"] == 10.0


def test_limits_of_a_whole_model_leave_room_for_what_is_outside_the_blocks():
    costs = [{"a": (4, 30), "b": (1, 10)}, {"a": (6, 70), "b": (2, 20)}]
    library = {
        f"layer_{i}": {
            name: {"stats": {"runtime_ms": ms, "memory_mib": mib}, "metrics": {"kl_div": float(name == "b")}}
            for name, (ms, mib) in layer.items()
        }
        for i, layer in enumerate(costs)
    }
    info = INFO | {"non_block": {"runtime_ms": 10.0, "memory_mib": 100.0}}
    of = lambda **limits: budgets.of_model(library, ModelLimits(**limits), info)  # noqa: E731
    # 20 ms and 200 MiB as a whole.
    assert of(speedup=1.25) == {budgets.RUNTIME: 6.0}
    assert of(memory="60%") == {budgets.MEMORY: 20.0}
    assert of(memory=150.0, speedup=2.0) == {budgets.RUNTIME: 0.0, budgets.MEMORY: 50.0}
    # 4 x 150 tokens at 40,000 a second in 15 ms.
    assert of(throughput=40000.0, speedup=1.25) == {budgets.RUNTIME: pytest.approx(5.0)}
    with pytest.raises(ValueError, match=r"speedup = 2\.1: .*take 10 of the parent's 20 ms.*at most 2"):
        of(speedup=2.1)
    with pytest.raises(ValueError, match=r"memory = 40%: embedding and head.*expected at least 50%"):
        of(memory="40%")


def test_limits_of_a_whole_model_are_at_least_one():
    with pytest.raises(ValidationError, match="no limit"):
        ModelLimits()
