"""Children measured against the parent, and composed scores."""

import numpy as np
import pytest
from exchanges import DOCUMENTS, TOKENS, exchanged

from tessera.puzzle.scores.evaluate import evaluate
from tessera.puzzle.scores.reference import Reference, composed


def test_measure_is_evaluation_with_its_windows(setting):
    model, modules = setting
    child = exchanged(model, 1, (modules[1, "attention", "kv1"], modules[1, "ffn", "ffn50"]))
    measured = Reference(model, TOKENS, DOCUMENTS).measure(child)
    expected = evaluate(model, {"child": child}, TOKENS, np.full(5, "text"), DOCUMENTS, {})["child"]["text"]
    for key in ("kl_div", "kl_div_se", "lm_loss", "top1", "top1_se"):
        assert measured[key] == pytest.approx(expected[key], rel=1e-6)
    assert np.mean(measured["by_window"]["kl_div"]) == pytest.approx(measured["kl_div"])
    assert measured["by_window"]["document"] == DOCUMENTS.tolist()


def test_composed_scores_are_those_of_the_exchanged_model(setting):
    model, modules = setting
    pairs = {
        layer: {
            f"{a}+{f}": (modules[layer, "attention", a], modules[layer, "ffn", f])
            for a, f in (("kv1", "ffn25"), ("no_op", "linear"), ("linear", "no_op"))
        }
        for layer in (0, 2)
    }
    scores = composed(model, pairs, TOKENS, DOCUMENTS)
    reference = Reference(model, TOKENS, DOCUMENTS)
    for layer, blocks in pairs.items():
        for name, pair in blocks.items():
            expected = reference.measure(exchanged(model, layer, pair))["kl_div"]
            assert scores[layer][name]["kl_div"] == pytest.approx(expected, rel=1e-4)
