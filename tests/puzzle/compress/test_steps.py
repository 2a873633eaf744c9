"""Sizes that fit the text and the time, and times that follow from rates."""

import pytest
from small_facts import RATES, facts, text

from tessera.puzzle.compress import steps

TARGET = {"source": "measured", "hardware": "cpu", "workload": {"batch": 1, "prefill": 128, "decode": 128}}


def seconds(sizes, **changes):
    return steps.total(steps.steps(facts(**changes), sizes, text(), TARGET))


def test_without_a_budget_the_sizes_are_those_of_the_default_run():
    sizes = steps.fitting(text(), facts(), TARGET, None, True)
    assert (sizes.calibration, sizes.distillation, sizes.refit, sizes.healing) == (40960, 6144, 40960, 20480)
    assert abs(sizes.score_windows * sizes.score_window - 1024) <= sizes.score_window / 2
    assert sizes.space == "full"


@pytest.mark.parametrize("minutes", [12, 20, 45, 90])
def test_a_run_takes_no_longer_than_its_budget_and_uses_it(minutes):
    sizes = steps.fitting(text(), facts(), TARGET, minutes, True)
    assert 0.6 * minutes < seconds(sizes) / 60 <= minutes


def test_more_time_makes_everything_larger():
    small, large = (steps.fitting(text(), facts(), TARGET, minutes, True) for minutes in (6, 60))
    for name in ("calibration", "distillation", "refit", "healing", "score_windows", "test_windows"):
        assert getattr(small, name) < getattr(large, name)
    assert (small.space, large.space) == ("small", "full")


def test_with_too_little_time_the_run_is_the_shortest():
    least = steps.fitting(text(), facts(), TARGET, 0.1, True)
    assert least == steps.sizes(text(), facts(), 0.0, True)
    assert seconds(least) > 6


def test_no_more_is_asked_for_than_the_text_holds():
    windows = {"train": {"a": 9, "b": 5}, "valid": {"a": 2, "b": 1}, "test": {"a": 3, "b": 2}}
    few = text(sources={"a": {}, "b": {}}, windows=windows, longest={"a": 99, "b": 99})
    sizes = steps.fitting(few, facts(), TARGET, None, True)
    assert sizes.calibration == 14 * 128
    assert sizes.distillation <= steps.EPOCHS * 14 * 128 and sizes.healing <= steps.EPOCHS * 14 * 128
    assert sizes.score_windows <= 3 and sizes.valid_windows <= 3 and sizes.test_windows <= 2


def test_slower_machines_take_longer():
    sizes = steps.fitting(text(), facts(), TARGET, None, True)
    slow = {"rates": {name: 2 * rate for name, rate in RATES.items()} | {"threads": 1.0}}
    assert 1.8 * seconds(sizes) < seconds(sizes, **slow) < 2 * seconds(sizes)


def test_more_cores_heal_and_evaluate_faster():
    sizes = steps.fitting(text(), facts(), TARGET, None, True)
    one, four = (
        {step.name: step.seconds for step in steps.steps(facts(rates=RATES | {"threads": n}), sizes, text(), TARGET)}
        for n in (1.0, 4.0)
    )
    changed = {name for name in one if four[name] < one[name]}
    assert changed == {"refit", "healing", "evaluation"} and four["healing"] < 0.5 * one["healing"]
    assert {name: four[name] for name in one.keys() - changed} == {name: one[name] for name in one.keys() - changed}


def test_what_is_left_out_takes_no_time():
    sizes = steps.sizes(text(), facts(), 1.0, False)
    names = [step.name for step in steps.steps(facts(), sizes, text(), TARGET | {"source": "roofline"})]
    assert "tasks" not in names and "measured speed" not in names
    assert {"tasks", "measured speed"} < {
        step.name for step in steps.steps(facts(), steps.sizes(text(), facts(), 1.0, True), text(), TARGET)
    }
