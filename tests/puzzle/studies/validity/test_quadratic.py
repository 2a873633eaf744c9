"""KL to second order: predictions, fits and the search for their optimum."""

import itertools
import math

import numpy as np
import pytest

from tessera.puzzle.models.space import PARENT, compose, decompose
from tessera.puzzle.studies.validity import quadratic
from tessera.puzzle.studies.validity.quadratic import GROUPINGS

NONE = dict.fromkeys(GROUPINGS["neighbourhood"], 0.0)
ATTENTIONS, FFNS = ("kv1", "no_op"), ("ffn50", "no_op")


def made(layers=3, seed=0):
    """Scores, effects in a space of 12 logits whose half squared lengths they are, and all blocks."""
    rng = np.random.default_rng(seed)
    scores, effects = {}, {}
    for layer in range(layers):
        scores[layer] = {"attention": {PARENT: {"kl_div": 0.0}}, "ffn": {}}
        for part, names in (("attention", ATTENTIONS), ("ffn", FFNS)):
            for name in names:
                d = rng.normal(0.1, 0.3, 12)
                effects[layer, part, name] = d
                scores[layer][part][name] = {"kl_div": 0.5 * float(d @ d)}
    return scores, effects


def children(layers=3):
    blocks = [compose(a, f) for a in (PARENT, *ATTENTIONS) for f in (PARENT, *FFNS)]
    return [list(one) for one in itertools.product(blocks, repeat=layers)]


def truth(effects, blocks):
    total = np.zeros(12)
    for layer, block in enumerate(blocks):
        for part, variant in zip(("attention", "ffn"), decompose(block), strict=True):
            if variant != PARENT:
                total += effects[layer, part, variant]
    return 0.5 * float(total @ total)


def test_measured_interactions_give_the_kl_of_effects_that_add_up():
    scores, effects = made()
    stacked = np.array([effects[label] for label in quadratic.labels(scores)])
    form = quadratic.measured(scores, stacked @ stacked.T)
    for blocks in children()[::37]:
        assert form.predict(blocks) == pytest.approx(truth(effects, blocks), abs=1e-12)


def test_without_cosines_the_form_is_the_sum_of_scores():
    scores, _ = made()
    form = quadratic.fitted(scores, NONE, "neighbourhood")
    blocks = ["kv1+ffn50", "parent+no_op", "no_op+parent"]
    exchanged = [(0, "attention", "kv1"), (0, "ffn", "ffn50"), (1, "ffn", "no_op"), (2, "attention", "no_op")]
    assert form.predict(blocks) == pytest.approx(math.fsum(scores[i][p][v]["kl_div"] for i, p, v in exchanged))


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_fit_finds_the_cosines_that_made_the_children(grouping):
    scores, _ = made(layers=4)
    cosines = dict(zip(GROUPINGS[grouping], (-0.2, 0.15, 0.05), strict=True))
    form = quadratic.fitted(scores, cosines, grouping)
    chosen = children(4)[7::301]
    table = np.array([quadratic.features(scores, blocks, grouping) for blocks in chosen])
    true = np.array([form.predict(blocks) for blocks in chosen])
    assert dict(zip(GROUPINGS[grouping], quadratic.fit(table, true), strict=True)) == pytest.approx(cosines)
    assert quadratic.held_out(table, true, range(len(true))) == pytest.approx(true)


def test_cross_validation_does_not_see_the_fold_that_it_predicts():
    scores, _ = made(layers=4)
    chosen = children(4)[7::301]
    table = np.array([quadratic.features(scores, blocks, "neighbourhood") for blocks in chosen])
    true = table[:, 0] * 1.1
    spoilt = true.copy()
    spoilt[0] *= 50
    first, second = (quadratic.held_out(table, t, range(len(t))) for t in (true, spoilt))
    assert first[0] == second[0] and first[1] != second[1]
    with pytest.raises(ValueError, match="all children are of one fold"):
        quadratic.held_out(table, true, ["one"] * len(true))


@pytest.mark.parametrize("seed", range(6))
def test_search_finds_the_best_child_within_the_budget(seed):
    scores, effects = made(seed=seed)
    stacked = np.array([effects[label] for label in quadratic.labels(scores)])
    form = quadratic.measured(scores, stacked @ stacked.T)
    price = {"parent": 4.0, "kv1": 2.5, "ffn50": 2.0, "no_op": 0.0}
    names, _ = form.blocks(3)
    costs = np.array([[sum(price[part] for part in decompose(block)) for block in own] for own in names])
    index = [{block: n for n, block in enumerate(own)} for own in names]

    def cost(blocks):
        return sum(costs[i, index[i][block]] for i, block in enumerate(blocks))

    within = [blocks for blocks in children() if cost(blocks) <= 15]
    best = min(form.predict(blocks) for blocks in within)
    starts = [["no_op+no_op"] * 3, ["kv1+ffn50"] * 3, ["parent+no_op"] * 3, ["parent+parent"] * 3]
    choice, value = quadratic.optimise(form, costs, 15, starts)
    assert cost(choice) <= 15
    assert value == pytest.approx(form.predict(choice))
    assert value <= min(form.predict(s) for s in starts if cost(s) <= 15)
    # Pairs of layers are searched in full, so three layers leave little to miss.
    assert value <= 1.25 * best


def test_search_needs_a_start_within_the_budget():
    scores, _ = made()
    form = quadratic.fitted(scores, NONE, "neighbourhood")
    with pytest.raises(ValueError, match="no start is within the budget of"):
        quadratic.optimise(form, np.ones((3, 9)), 0.5, [["parent+parent"] * 3])


def test_unknown_variants_are_named():
    scores, _ = made()
    form = quadratic.fitted(scores, NONE, "neighbourhood")
    with pytest.raises(ValueError, match="1 ffn ffn25"):
        form.predict(["parent+parent", "parent+ffn25", "parent+parent"])
    with pytest.raises(ValueError, match="of 5 exchanges, scores of 12"):
        quadratic.measured(scores, np.eye(5))
