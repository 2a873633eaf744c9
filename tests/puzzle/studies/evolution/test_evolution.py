"""Evolutionary search against brute force, and the ledger from which a killed one goes on."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_libraries import SCORE, TIME, brute_force, libraries, library

from tessera.common import files
from tessera.puzzle import search
from tessera.puzzle.search import baselines, block_library
from tessera.puzzle.studies.evolution import evolve as evolution

LIBRARY = library([[0, 1, 3, 7], [0, 2, 5, 6], [0, 1, 2, 9], [0, 4, 5, 8]], [[4, 3, 2, 1]] * 4)
CHEAPEST = dict.fromkeys(LIBRARY, "v3")


def summed(choice):
    return block_library.total(LIBRARY, choice, SCORE)


def evolve(loss, limit, evaluations, start=(CHEAPEST,), seed=0, **options):
    return list(
        evolution.evolve(LIBRARY, loss, {TIME: limit}, start, np.random.default_rng(seed), evaluations, **options)
    )


def best(children):
    return min(children, key=lambda one: one.loss)


def test_evolution_finds_the_optimum_of_a_small_space():
    asked = []

    def loss(choice):
        asked.append(tuple(choice.values()))
        return summed(choice)

    found = evolve(loss, 11, 120)
    assert best(found).loss == float(brute_force(LIBRARY, SCORE, {TIME: 11})[0][0]) == summed(best(found).choice)
    assert asked == [tuple(one.choice.values()) for one in found]
    assert len(asked) == len(set(asked)) <= 120  # nothing is run twice
    assert evolve(summed, 11, 120) == found


def test_evolution_needs_no_additivity():
    """Two layers that may not both be cheap: the sum of scores does not tell, the loss does."""

    def loss(choice):
        return summed(choice) + 10 * (choice["layer_0"] != "v0" and choice["layer_1"] != "v0")

    greedy = baselines.greedy(LIBRARY, SCORE, {TIME: 13}).choice
    found = evolve(loss, 13, 150, [greedy], seed=1)
    assert best(found).loss == min(loss(choice) for _, choice in brute_force(LIBRARY, SCORE, {TIME: 13}))


@settings(deadline=None, max_examples=20)
@given(data=st.data(), seed=st.integers(0, 99), evaluations=st.integers(1, 30), population=st.integers(1, 4))
def test_every_child_is_new_and_within_the_budget(data, seed, evaluations, population):
    given_library = data.draw(libraries())
    slowest = sum(max(v["stats"]["runtime_ms"] for v in vs.values()) for vs in given_library.values())
    fastest = sum(min(v["stats"]["runtime_ms"] for v in vs.values()) for vs in given_library.values())
    limits = {TIME: fastest + data.draw(st.floats(0, 1)) * (slowest - fastest)}
    generator = np.random.default_rng(seed)
    start = evolution.draw(given_library, SCORE, limits, population, generator)
    found = list(
        evolution.evolve(
            given_library,
            lambda choice: block_library.total(given_library, choice, SCORE),
            limits, start, generator, evaluations, population, 3,
        )
    )  # fmt: skip
    keys = [tuple(one.choice.values()) for one in found]
    assert len(set(keys)) == len(keys) <= evaluations
    assert all(search.feasible(given_library, one.choice, limits) for one in found)
    assert keys[: len(start)] == [tuple(one.values()) for one in start][:evaluations]
    assert all(list(one.choice) == block_library.layers(given_library) for one in found)


def test_parents_are_the_best_so_far():
    """With a population of one, each child is at most a few swaps away from the best of those before its generation."""
    found = evolve(summed, 11, 41, population=1, offspring=4, mutations=0.0)
    for begin in range(1, len(found), 4):
        mother = best(found[:begin])
        for child in found[begin : begin + 4]:
            assert sum(child.choice[layer] != mother.choice[layer] for layer in LIBRARY) <= 2


def test_a_start_that_is_there_twice_is_run_once_and_random_search_has_no_offspring():
    start = evolution.draw(LIBRARY, SCORE, {TIME: 11}, 6, np.random.default_rng(0))
    assert len({tuple(one.values()) for one in start}) == 6
    found = evolve(summed, 11, 6, [*start, *start])
    assert [one.choice for one in found] == start


def test_evolution_ends_where_nothing_new_is_left():
    assert len(evolve(summed, 5, 100)) == len(brute_force(LIBRARY, SCORE, {TIME: 5})) == 5
    assert len(evolution.draw(LIBRARY, SCORE, {TIME: 5}, 100, np.random.default_rng(0))) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 3}, "a start is outside the budgets"),
        ({"evaluations": 0}, "at least 1"),
        ({"mutations": -1.0}, "mutations at least 0"),
        ({"start": ()}, "expected at least one choice"),
    ],
)
def test_what_cannot_be_searched_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        evolve(**{"loss": summed, "limit": 5, "evaluations": 10} | options)


def test_no_random_choice_within_the_budgets_is_refused():
    with pytest.raises(ValueError, match="no random choice is within the budgets"):
        evolution.draw(LIBRARY, SCORE, {TIME: 3}, 2, np.random.default_rng(0))


def test_scores_cost_the_layers_behind_each_variant():
    entry = {"stats": {}, "metrics": {}}
    names = [f"{a}+{f}" for a, f in itertools.product(["parent", "no_op"], ["parent", "half", "no_op"])]
    made = {f"layer_{i}": dict.fromkeys(names, entry) for i in range(4)}
    assert evolution.scoring_passes(made) == pytest.approx(3 * (1 + 3 / 4 + 1 / 2 + 1 / 4))


def measuring(until=None):
    """The measurement of a child, which fails at its call number `until`, and the children that it was asked."""
    asked = []

    def measure(choice):
        if len(asked) == until:
            raise KeyboardInterrupt
        asked.append(list(choice.values()))
        return {"kl_div": summed(choice), "kl_div_se": 0.1}

    return measure, asked


@pytest.mark.parametrize("until", [0, 1, 7, 30])
def test_a_killed_search_goes_on_to_the_same_children(tmp_path, until):
    whole = evolve(evolution.Ledger(tmp_path / "whole.json", {"seed": 0}, measuring()[0]), 11, 40)
    first, before = measuring(until)
    with pytest.raises(KeyboardInterrupt):
        evolve(evolution.Ledger(tmp_path / "kept.json", {"seed": 0}, first), 11, 40)
    second, after = measuring()
    ledger = evolution.Ledger(tmp_path / "kept.json", {"seed": 0}, second)
    assert evolve(ledger, 11, 40) == whole
    assert before + after == [list(one.choice.values()) for one in whole]
    assert ledger.row(whole[3].choice) == {
        "blocks": list(whole[3].choice.values()), "kl_div": whole[3].loss, "kl_div_se": 0.1
    }  # fmt: skip
    ledger.remove()
    assert not (tmp_path / "kept.json").exists()


def test_a_ledger_of_something_else_is_replaced_and_a_file_that_is_none_refused(tmp_path):
    path = tmp_path / "kept.json"
    evolve(evolution.Ledger(path, {"text": "a"}, measuring()[0]), 11, 10)
    measure, asked = measuring()
    evolve(evolution.Ledger(path, {"text": "b"}, measure), 11, 10)
    assert len(asked) == 10 and "b" in files.read_json(path)["identity"]
    files.write_json(path, [1])
    with pytest.raises(ValueError, match=r"kept\.json: not the ledger of a search"):
        evolution.Ledger(path, {"text": "b"}, measure)
