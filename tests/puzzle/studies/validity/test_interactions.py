"""Interactions of exchanges to second order."""

import numpy as np
import pytest
import torch
from exchanges import DOCUMENTS, TOKENS, exchanged

from tessera.puzzle.models.anatomy import tensor
from tessera.puzzle.scores.reference import Reference
from tessera.puzzle.scores.replace_one import score, summarised
from tessera.puzzle.studies.validity import quadratic
from tessera.puzzle.studies.validity.interactions import responses

MASK = torch.arange(11)[None] % torch.arange(2, 7)[:, None] == 1


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "mask"])
def test_interactions_score_as_scores_do_and_their_form_is_second_order(setting, mask):
    model, modules = setting
    small = {}  # exchanges that change little, so that the second order is nearly all
    for (layer, part, name), module in modules.items():
        if name in ("kv1", "ffn50"):
            small[layer, part, name] = mixed(model.layer(layer).subblock(part), module, 0.02)
    gram, series = responses(model, small, TOKENS, mask=mask)
    counts = None if mask is None else mask.sum(1).numpy()
    scores = {}
    for (layer, part, name), agreement in zip(small, series, strict=True):
        scores.setdefault(layer, {"attention": {}, "ffn": {}})[part][name] = summarised(agreement, DOCUMENTS, counts)
    expected = score(model, grouped(small), TOKENS, DOCUMENTS, mask=mask)
    for layer, part, name in small:
        for key in ("kl_div", "kl_div_se", "lm_loss", "top1"):
            assert scores[layer][part][name][key] == pytest.approx(expected[layer][part][name][key], rel=1e-3, abs=1e-7)
        assert 0 < scores[layer][part][name]["cosine"] < 0.5
    assert np.allclose(np.diag(gram) / 2, [np.average(s["kl_div"], weights=counts) for s in series], rtol=0.1)
    form = quadratic.measured(scores, gram)
    child = model
    for (layer, part, _), module in small.items():
        other = child.layer(layer).subblock("ffn" if part == "attention" else "attention")
        child = exchanged(child, layer, (module, other) if part == "attention" else (other, module))
    true = Reference(model, TOKENS, DOCUMENTS, mask).measure(child)["kl_div"]
    every = form.predict(["kv1+ffn50"] * 3)
    plain = float(np.trace(form.Q))
    assert every == pytest.approx(true, rel=0.15)
    assert abs(every - true) < abs(plain - true)


class mixed(torch.nn.Module):  # noqa: N801
    """(1 - share) of one module's output and share of another's."""

    def __init__(self, first, second, share):
        super().__init__()
        self.first, self.second, self.share = first, second, share

    def forward(self, *args, **kwargs):
        first, second = self.first(*args, **kwargs), self.second(*args, **kwargs)
        both = (1 - self.share) * tensor(first) + self.share * tensor(second)
        return (both, *first[1:]) if isinstance(first, tuple) else both


def grouped(modules):
    """layer -> subblock -> variant -> module."""
    groups = {}
    for (layer, part, name), module in modules.items():
        groups.setdefault(layer, {"attention": {}, "ffn": {}})[part][name] = module
    return groups
