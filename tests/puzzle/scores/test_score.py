"""Replace-one-block scores against full forward passes of assembled models."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tessera.common import files
from tessera.common.intervals import known
from tessera.puzzle import child
from tessera.puzzle.models import loading
from tessera.puzzle.models.streaming import Streamed
from tessera.puzzle.scores import cache, replace_one
from tessera.puzzle.scores.divergence import Agreement
from tessera.puzzle.search import block_library

TOKENS = torch.randint(1, 64, (6, 13), generator=torch.Generator().manual_seed(2))
DOCUMENTS = np.array([4, 4, 9, 2, 9, 9])


def plain(parent, model):
    """KL, next-token loss and agreement of each window, by the definition."""
    log_p, log_q = (m(TOKENS[:, :-1]).double().log_softmax(-1) for m in (parent, model))
    kl = (log_p.exp() * (log_p - log_q)).sum(-1).mean(1)
    lm = F.nll_loss(log_q.transpose(1, 2), TOKENS[:, 1:], reduction="none").mean(1)
    return {"kl_div": kl, "lm_loss": lm, "top1": (log_p.argmax(-1) == log_q.argmax(-1)).double().mean(1)}


def by_hand(values, documents):
    """Standard error of the mean by clusters: sqrt(G/(G-1) sum_g (sum of g's deviations)^2) / n."""
    mean, sums = sum(values) / len(values), {}
    for value, document in zip(values, documents, strict=True):
        sums[document] = sums.get(document, 0.0) + value - mean
    G = len(sums)
    return math.sqrt(G / (G - 1) * sum(s * s for s in sums.values())) / len(values)


@pytest.fixture
def modules(parent, library, variants):
    """A parent, and the variants of its layers 0 and 2."""

    def make(name):
        model = loading.load(parent(name)).requires_grad_(False)
        return model, child.variants_of(model, variants, library(name), (0, 2))

    return make


@torch.no_grad()
@pytest.mark.parametrize("name", ["llama", "qwen3"])
@pytest.mark.parametrize("batch_tokens", [1, 30, 10**6])
def test_suffix_scores_are_full_forward_passes(monkeypatch, modules, parent, library, variants, name, batch_tokens):
    monkeypatch.setattr(replace_one, "BATCH_TOKENS", batch_tokens)
    model, exchanged = modules(name)
    seen = []

    def track(steps):
        yield from (seen.append(step) or step for step in steps)
        seen.append("done")

    found = replace_one.score(model, exchanged, TOKENS, DOCUMENTS, track)
    # Of each batch three layers, and the head of all its tokens at once.
    assert seen == [*range(4 * math.ceil(6 / max(1, batch_tokens // 12))), "done"]
    assert sorted(found) == [0, 2]
    for layer, subblocks in found.items():
        assert list(subblocks["attention"]) == ["parent", *variants.attention]
        assert list(subblocks["ffn"]) == list(variants.ffn)
        for subblock, scores in subblocks.items():
            for variant, metrics in scores.items():
                choice = ["parent+parent"] * 3
                choice[layer] = f"{variant}+parent" if subblock == "attention" else f"parent+{variant}"
                whole = child.assemble(model, variants, library(name), choice)
                for metric, values in plain(model, whole).items():
                    assert metrics[metric] == pytest.approx(float(values.mean()), abs=1e-5)
                    assert metrics[f"{metric}_se"] == pytest.approx(by_hand(values.tolist(), DOCUMENTS), abs=1e-5)
        assert subblocks["attention"]["parent"]["kl_div"] == pytest.approx(0, abs=1e-6)
        assert subblocks["attention"]["parent"]["top1"] == 1.0


@pytest.mark.parametrize("batches", [1, 2, 10])
@pytest.mark.parametrize("layers", [1, 2, None])
def test_passes_change_no_number(monkeypatch, modules, batches, layers):
    monkeypatch.setattr(replace_one, "BATCH_TOKENS", 30)
    model, exchanged = modules("llama")
    expected = replace_one.score(model, exchanged, TOKENS, DOCUMENTS)
    assert (
        replace_one.score(model, exchanged, TOKENS, DOCUMENTS, batches_at_once=batches, layers_at_once=layers)
        == expected
    )


@torch.no_grad()
@pytest.mark.parametrize("resident", [0, 1, 3])
def test_a_streamed_parent_has_the_scores_of_a_whole_one(
    monkeypatch, modules, parent, library, variants, tmp_path, resident
):
    monkeypatch.setattr(replace_one, "BATCH_TOKENS", 30)  # 3 batches
    model, exchanged = modules("llama")
    expected = replace_one.score(model, exchanged, TOKENS, DOCUMENTS)
    streamed = Streamed(parent("llama"), resident=resident)
    asked = replace_one.OnDemand(
        (0, 2), lambda layer: child.variants_of(streamed, variants, library("llama"), [layer])[layer]
    )
    assert replace_one.score(streamed, asked, TOKENS, DOCUMENTS, batches_at_once=2, layers_at_once=1) == expected
    assert streamed.loads == resident + 4 * (3 - resident)  # 2 passes over the text, for each of 2 layers
    about = cache.text(TOKENS, DOCUMENTS)
    kept, again = (cache.ScoreCache(tmp_path, m, about, replace_one.__name__) for m in (model, streamed))
    assert kept.score(exchanged, lambda some: replace_one.score(model, some, TOKENS, DOCUMENTS)) == expected
    assert again.score(asked, lambda _: pytest.fail("a score of the same weights is not found")) == expected


def test_hidden_states_are_the_models(parent):
    model = loading.load(parent())
    before, middle, calls = replace_one.hidden_states(model, TOKENS)
    assert len(before) == 4 and len(middle) == 3
    assert torch.equal(before[-1], model.last(TOKENS)) and torch.equal(model.head(before[-1]), model(TOKENS))
    for layer, x, m, y in zip(model.layers, before, middle, before[1:], strict=False):
        assert torch.equal(layer(x, calls, ffn=None), m) and torch.equal(layer(m, calls, attention=None), y)


#: Positions that count, a different number in each window.
MASK = torch.arange(12)[None] % torch.arange(2, 8)[:, None] == 1


@torch.no_grad()
def test_masked_scores_are_means_over_what_counts(modules, library, variants):
    model, exchanged = modules("llama")
    found = replace_one.score(model, exchanged, TOKENS, DOCUMENTS, mask=MASK)
    whole = child.assemble(model, variants, library("llama"), ["parent+linear", "parent+parent", "parent+parent"])
    log_p, log_q = (m(TOKENS[:, :-1]).double().log_softmax(-1) for m in (model, whole))
    each = {
        "kl_div": (log_p.exp() * (log_p - log_q)).sum(-1),
        "lm_loss": F.nll_loss(log_q.transpose(1, 2), TOKENS[:, 1:], reduction="none"),
    }
    for metric, values in each.items():
        mean = float((values * MASK).sum() / MASK.sum())
        deviations = ((values - mean) * MASK).sum(1)
        sums = [float(deviations[torch.from_numpy(d == DOCUMENTS)].sum()) for d in np.unique(DOCUMENTS)]
        se = math.sqrt(3 / 2 * sum(s * s for s in sums)) / float(MASK.sum())
        assert found[0]["ffn"]["linear"][metric] == pytest.approx(mean, rel=1e-5)
        assert found[0]["ffn"]["linear"][f"{metric}_se"] == pytest.approx(se, rel=1e-4)


def test_mask_of_all_scores_as_no_mask(modules):
    model, exchanged = modules("llama")
    everything = torch.ones(6, 12, dtype=torch.bool)
    plain, masked = (replace_one.score(model, exchanged, TOKENS, DOCUMENTS, mask=m) for m in (None, everything))
    assert plain == masked


def test_weights_of_one_are_no_weights():
    values, clusters = np.random.default_rng(0).random(50), np.arange(50) // 3
    plain, weighted = (replace_one.standard_error(values, clusters, w) for w in (None, np.ones(50)))
    assert plain == weighted
    twice = replace_one.standard_error(np.repeat(values, 2), np.repeat(clusters, 2))
    assert replace_one.standard_error(values, clusters, np.full(50, 2.0)) == pytest.approx(twice)


def test_standard_error_by_hand():
    values = np.array([1.0, 3.0, 2.0, 6.0])
    assert replace_one.standard_error(values, np.array([0, 0, 1, 2])) == pytest.approx(by_hand(values, [0, 0, 1, 2]))
    alone = values.std(ddof=1) / 2  # one window a document: the usual standard error
    assert replace_one.standard_error(values, np.arange(4)) == pytest.approx(alone)
    assert replace_one.standard_error(values, np.zeros(4)) is None


def test_scores_of_one_document_have_no_standard_error(tmp_path):
    agreement = Agreement(torch.rand(8), torch.rand(8), torch.rand(8) > 0.5)
    found = replace_one.summary(list(agreement.split(4)), np.zeros(2))
    assert [found[f"{metric}_se"] for metric in ("kl_div", "lm_loss", "top1")] == [None] * 3
    files.write_json(tmp_path / "scores.json", found)
    assert known(files.read_json(tmp_path / "scores.json")["kl_div_se"]) != 0  # NaN
    block = block_library._composed(found, found, found | {"kl_div_se": 0.1})
    assert block["kl_div_se"] is None and block["kl_div"] == pytest.approx(found["kl_div"])


def test_summary_means():
    windows = [
        Agreement(torch.tensor([0.1, 0.3]), torch.tensor([1.0, 2.0]), torch.tensor([True, False])),
        Agreement(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0]), torch.tensor([True, True])),
    ]
    found = replace_one.summary(windows, np.array([0, 1]))
    assert (found["kl_div"], found["lm_loss"], found["top1"]) == pytest.approx((0.1, 2.5, 0.75))
    assert found["kl_div_se"] == pytest.approx(0.1) and found["top1_se"] == pytest.approx(0.25)


def test_windows_weigh_by_what_counts_in_them():
    windows = [
        Agreement(torch.tensor([0.1, 0.3, 0.5]), torch.tensor([1.0, 2.0, 3.0]), torch.tensor([True, False, False])),
        Agreement(torch.tensor([0.7]), torch.tensor([6.0]), torch.tensor([True])),
    ]
    found = replace_one.summary(windows, np.array([0, 1]))
    assert (found["kl_div"], found["lm_loss"], found["top1"]) == pytest.approx((0.4, 3.0, 0.5))
    assert found["lm_loss_se"] == pytest.approx(math.sqrt(2 * (3**2 + 3**2)) / 4)
    assert replace_one.by_window(windows)["tokens"] == [3, 1]
    assert "tokens" not in replace_one.by_window(windows[:1])
