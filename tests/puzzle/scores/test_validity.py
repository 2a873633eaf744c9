"""Children measured against the parent, composed scores and interactions."""

import numpy as np
import pytest
import torch

from tessera.puzzle import child as children
from tessera.puzzle.library import initialise
from tessera.puzzle.models import loading
from tessera.puzzle.models.anatomy import SUBBLOCKS, tensor
from tessera.puzzle.scores.evaluate import evaluate
from tessera.puzzle.scores.reference import Reference, composed
from tessera.puzzle.scores.replace_one import score
from tessera.puzzle.studies.validity import quadratic
from tessera.puzzle.studies.validity.interactions import responses, summarised

TOKENS = torch.randint(64, (5, 12), generator=torch.Generator().manual_seed(1))
DOCUMENTS = np.array([3, 3, 4, 5, 6])


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def setting(request, parent, variants):
    """A parent, and the modules of all variants of all layers by (layer, subblock, variant)."""
    model, modules = loading.load(parent(request.param)).requires_grad_(False), {}
    x, calls = model.inputs(TOKENS[:, :-1])
    for layer in model.layers:
        for name, variant in variants.attention.items():
            made = initialise.attention(layer, model.config, variant, layer.inner("attention", x, calls), None)
            modules[layer.index, "attention", name] = made
        for name, variant in variants.ffn.items():
            kept = torch.arange(round(48 * variant.width)) if variant.kind == "gated" else None
            modules[layer.index, "ffn", name] = initialise.ffn(layer, model.config, variant, kept)
    return model, modules


def exchanged(model, layer, pair):
    """A copy of the parent with one layer's subblocks exchanged."""
    replaced = {}
    for place, module in zip(SUBBLOCKS, pair, strict=True):
        parts = model.layer(layer).anatomy[place]
        nothing = {"kind": "no_op", "returns": parts.returns, "drops": list(parts.norms)}
        replaced[layer, place] = module, children.OWN if module is not None else nothing
    return children.exchanged(model, replaced)


def test_measure_is_evaluation_with_its_windows(setting):
    model, modules = setting
    child = exchanged(model, 1, (modules[1, "attention", "kv1"], modules[1, "ffn", "ffn50"]))
    found = Reference(model, TOKENS, DOCUMENTS).measure(child)
    wanted = evaluate(model, {"child": child}, TOKENS, np.full(5, "text"), DOCUMENTS, {})["child"]["text"]
    for key in ("kl_div", "kl_div_se", "lm_loss", "top1", "top1_se"):
        assert found[key] == pytest.approx(wanted[key], rel=1e-6)
    assert np.mean(found["by_window"]["kl_div"]) == pytest.approx(found["kl_div"])
    assert found["by_window"]["document"] == DOCUMENTS.tolist()


def test_composed_scores_are_those_of_the_exchanged_model(setting):
    model, modules = setting
    pairs = {
        layer: {
            f"{a}+{f}": (modules[layer, "attention", a], modules[layer, "ffn", f])
            for a, f in (("kv1", "ffn25"), ("no_op", "linear"), ("linear", "no_op"))
        }
        for layer in (0, 2)
    }
    found = composed(model, pairs, TOKENS, DOCUMENTS)
    reference = Reference(model, TOKENS, DOCUMENTS)
    for layer, own in pairs.items():
        for name, pair in own.items():
            wanted = reference.measure(exchanged(model, layer, pair))["kl_div"]
            assert found[layer][name]["kl_div"] == pytest.approx(wanted, rel=1e-4)


def test_interactions_score_as_scores_do_and_their_form_is_second_order(setting):
    model, modules = setting
    small = {}  # exchanges that change little, so that the second order is nearly all
    for (layer, part, name), module in modules.items():
        if name in ("kv1", "ffn50"):
            small[layer, part, name] = mixed(model.layer(layer).subblock(part), module, 0.02)
    gram, series = responses(model, small, TOKENS)
    scores = {}
    for (layer, part, name), one in zip(small, series, strict=True):
        scores.setdefault(layer, {"attention": {}, "ffn": {}})[part][name] = summarised(one, DOCUMENTS)
    wanted = score(model, grouped(small), TOKENS, DOCUMENTS)
    for layer, part, name in small:
        for key in ("kl_div", "kl_div_se", "lm_loss", "top1"):
            assert scores[layer][part][name][key] == pytest.approx(wanted[layer][part][name][key], rel=1e-3, abs=1e-7)
        assert 0 < scores[layer][part][name]["cosine"] < 0.5
    assert np.allclose(np.diag(gram) / 2, [s["kl_div"].mean() for s in series], rtol=0.1)
    form = quadratic.measured(scores, gram)
    child = model
    for (layer, part, _), module in small.items():
        other = child.layer(layer).subblock("ffn" if part == "attention" else "attention")
        child = exchanged(child, layer, (module, other) if part == "attention" else (other, module))
    true = Reference(model, TOKENS, DOCUMENTS).measure(child)["kl_div"]
    every = form.predict(["kv1+ffn50"] * 3)
    plain = float(np.trace(form.Q))
    assert every == pytest.approx(true, rel=0.15)
    assert abs(every - true) < abs(plain - true)


class mixed(torch.nn.Module):  # noqa: N801
    """(1 - share) of one module's output and share of another's."""

    def __init__(self, own, other, share):
        super().__init__()
        self.own, self.other, self.share = own, other, share

    def forward(self, *args, **kwargs):
        own, other = self.own(*args, **kwargs), self.other(*args, **kwargs)
        both = (1 - self.share) * tensor(own) + self.share * tensor(other)
        return (both, *own[1:]) if isinstance(own, tuple) else both


def grouped(modules):
    """layer -> subblock -> variant -> module."""
    found = {}
    for (layer, part, name), module in modules.items():
        found.setdefault(layer, {"attention": {}, "ffn": {}})[part][name] = module
    return found
