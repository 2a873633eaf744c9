"""Children measured against the parent, and composed scores."""

import numpy as np
import pytest
import torch
from exchanges import DOCUMENTS, TOKENS, exchanged

from tessera.puzzle.scores.evaluate import evaluate
from tessera.puzzle.scores.reference import Reference, composed

#: Positions that count, a different number in each window.
MASK = torch.arange(11)[None] % torch.arange(2, 7)[:, None] == 1


def test_measure_is_evaluation_with_its_windows(setting):
    model, modules = setting
    child = exchanged(model, 1, (modules[1, "attention", "kv1"], modules[1, "ffn", "ffn50"]))
    measured = Reference(model, TOKENS, DOCUMENTS).measure(child)
    expected = evaluate(model, {"child": child}, TOKENS, np.full(5, "text"), DOCUMENTS, {})["child"]["text"]
    for key in ("kl_div", "kl_div_se", "lm_loss", "top1", "top1_se"):
        assert measured[key] == pytest.approx(expected[key], rel=1e-6)
    assert np.mean(measured["by_window"]["kl_div"]) == pytest.approx(measured["kl_div"])
    assert measured["by_window"]["document"] == DOCUMENTS.tolist()


def test_masked_text_is_measured_where_it_counts(setting):
    """Evaluation, measurement and composed scores agree, and are the means by window, weighed by their tokens."""
    model, modules = setting
    pair = (modules[1, "attention", "kv1"], modules[1, "ffn", "ffn50"])
    child = exchanged(model, 1, pair)
    measured = Reference(model, TOKENS, DOCUMENTS, MASK).measure(child)
    text = np.full(5, "text")
    found = evaluate(model, {"child": child}, TOKENS, text, DOCUMENTS, {"all": ["text"]}, mask=MASK)["child"]["all"]
    score = composed(model, {1: {"both": pair}}, TOKENS, DOCUMENTS, mask=MASK)[1]["both"]
    log_p, log_q = (m(TOKENS[:, :-1]).double().log_softmax(-1) for m in (model, child))
    kl = (log_p.exp() * (log_p - log_q)).sum(-1)
    expected = float((kl * MASK).sum() / MASK.sum())
    for metrics in (measured, found, score):
        assert metrics["kl_div"] == pytest.approx(expected, rel=1e-4)
        assert metrics["lm_loss_se"] == pytest.approx(measured["lm_loss_se"], rel=1e-3)
    windows = measured["by_window"]
    assert windows["tokens"] == found["by_window"]["tokens"] == MASK.sum(1).tolist()
    assert np.average(windows["kl_div"], weights=windows["tokens"]) == pytest.approx(expected, rel=1e-4)
    assert found["perplexity"] == pytest.approx(np.exp(measured["lm_loss"]), rel=1e-5)


def test_mask_of_all_measures_as_no_mask(setting):
    model, modules = setting
    child = exchanged(model, 1, (modules[1, "attention", "kv1"], modules[1, "ffn", "ffn50"]))
    everything = torch.ones(5, 11, dtype=torch.bool)
    plain, masked = (Reference(model, TOKENS, DOCUMENTS, mask).measure(child) for mask in (None, everything))
    assert plain == masked


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
