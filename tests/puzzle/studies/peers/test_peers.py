"""Other ways to prune: what they keep, what it costs, and that what they build computes what it should."""

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from tessera.puzzle import child as children
from tessera.puzzle.models import loading
from tessera.puzzle.models.loading import BLOCKS
from tessera.puzzle.models.space import Space
from tessera.puzzle.scores.replace_one import hidden_states
from tessera.puzzle.studies.peers import pruning

TOKENS = torch.randint(64, (3, 16), generator=torch.Generator().manual_seed(2))
SPACE = Space.model_validate({"attention": {}, "ffn": {"ffn50": {"kind": "gated", "width": 0.5}}})
COSTS = pd.DataFrame(
    [("attention", "parent", 2.0), ("ffn", "parent", 8.0), ("ffn", "ffn50", 5.0)],
    columns=["subblock", "variant", "runtime_ms"],
)


@pytest.fixture(scope="module")
def model(parent):
    return loading.load(parent("llama")).requires_grad_(False)


@pytest.fixture
def times():
    return pruning.Times([COSTS] * 3, SPACE, 48)


def channels(mlp, x):
    """Gated channels of transformers' FFNs, before the down projection."""
    return mlp.act_fn(mlp.gate_proj(x)) * mlp.up_proj(x)


@pytest.mark.parametrize(
    ("name", "norm"), [("llama", "post_attention_layernorm"), ("gemma3", "pre_feedforward_layernorm")]
)
def test_statistics_are_those_of_the_hidden_states_and_channels(parent, name, norm):
    model = loading.load(parent(name)).requires_grad_(False)
    found = pruning.statistics(model, TOKENS)
    states, middle, _ = hidden_states(model, TOKENS)
    for i, layer in enumerate(model.layers):
        influence = 1 - F.cosine_similarity(states[i], states[i + 1], dim=-1).mean()
        assert found.influence[i] == pytest.approx(float(influence), abs=1e-5)
        h = channels(layer.subblock("ffn"), getattr(layer.module, norm)(middle[i])).double()
        assert torch.allclose(found.mean[i], h.mean((0, 1)), atol=1e-6)
        assert torch.allclose(found.variance[i], h.var((0, 1), unbiased=False), atol=1e-5)
        assert torch.allclose(found.magnitude[i], h.abs().mean(1).norm(dim=0), atol=1e-5)
    assert len(found.influence) == len(model.layers)


def test_statistics_are_of_the_tokens_that_count(model):
    mask = torch.arange(16)[None] % torch.arange(2, 5)[:, None] == 1
    found = pruning.statistics(model, TOKENS, mask=mask)
    states, middle, _ = hidden_states(model, TOKENS)
    for i, layer in enumerate(model.layers):
        influence = 1 - F.cosine_similarity(states[i], states[i + 1], dim=-1)[mask].mean()
        assert found.influence[i] == pytest.approx(float(influence), abs=1e-5)
        h = channels(layer.subblock("ffn"), layer.module.post_attention_layernorm(middle[i])).double()
        assert torch.allclose(found.mean[i], h[mask].mean(0), atol=1e-6)
        assert torch.allclose(found.variance[i], h[mask].var(0, unbiased=False), atol=1e-5)
        by_window = torch.stack([one[counts].abs().mean(0) for one, counts in zip(h, mask, strict=True)])
        assert torch.allclose(found.magnitude[i], by_window.norm(dim=0), atol=1e-5)
    plain, every = (pruning.statistics(model, TOKENS, mask=m) for m in (None, torch.ones_like(mask)))
    assert all(torch.equal(getattr(plain, name), getattr(every, name)) for name in vars(plain))


def test_times_are_the_tables_and_straight_between(times):
    assert times.of([48, 24, 0]) == pytest.approx(3 * 2 + 8 + 5 + 0)
    assert times.of([36, 0, 12]) == pytest.approx(3 * 2 + 6.5 + 0 + 2.5)
    assert times.of([48, 48, 48], [True, False, False]) == pytest.approx(10)


def test_times_may_differ_between_layers():
    times = pruning.Times([COSTS, COSTS.assign(runtime_ms=2 * COSTS.runtime_ms)], SPACE, 48)
    assert times.of([24, 24]) == pytest.approx(2 + 5 + 4 + 10)
    assert times.of([24, 36], [False, True]) == pytest.approx(4 + 13)


def test_depth_drops_the_least_influential_until_the_budget_is_kept(times):
    influence = torch.tensor([0.3, 0.1, 0.2])
    assert pruning.dropped_layers(influence, times, 48, 30) == []
    assert pruning.dropped_layers(influence, times, 48, 29.9) == [1]
    assert pruning.dropped_layers(influence, times, 48, 10) == [1, 2]


def test_width_keeps_as_many_channels_as_the_budget_allows(times):
    magnitude = torch.rand(3, 48, generator=torch.Generator().manual_seed(0))
    kept = pruning.uniform_channels(magnitude, times, 3 * 7.0)
    assert [len(k) for k in kept] == [24, 24, 24]
    for k, own in zip(kept, magnitude, strict=True):
        assert own[k].min() >= own[[c for c in range(48) if c not in k]].max()
    with pytest.raises(ValueError, match="FFNs of one channel take"):
        pruning.uniform_channels(magnitude, times, 6.0)


def test_flap_ranks_standardised_fluctuations_over_all_layers(times):
    generator = torch.Generator().manual_seed(1)
    variance = torch.rand(3, 48, generator=generator).double()
    down = [torch.rand(32, 48, generator=generator) for _ in range(3)]
    kept = pruning.fluctuating_channels(variance, down, times, 3 * 7.0)
    spent = times.of([len(k) for k in kept])
    assert spent <= 21 < spent + 0.5  # one channel more would not fit
    metric = torch.stack([v * w.double().square().sum(0) for v, w in zip(variance, down, strict=True)])
    scaled = (metric - metric.mean(1, keepdim=True)) / metric.std(1, keepdim=True)
    inside = torch.cat([own[k] for own, k in zip(scaled, kept, strict=True)])
    outside = torch.cat([own[[c for c in range(48) if c not in k]] for own, k in zip(scaled, kept, strict=True)])
    assert inside.min() >= outside.max()
    # A change of a layer's scale changes nothing.
    again = pruning.fluctuating_channels(variance * torch.tensor([[1.0], [50.0], [0.1]]), down, times, 21.0)
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))


NAMES = ["llama", "llama_biases", "gemma3"]


@pytest.mark.parametrize("name", NAMES)
def test_a_child_that_keeps_all_is_the_parent(parent, name):
    model = loading.load(parent(name)).requires_grad_(False)
    mean = torch.zeros(3, 48, dtype=torch.float64)
    for child in (
        pruning.pruned(model),
        pruning.pruned(model, channels=[torch.arange(48)] * 3),
        pruning.pruned(model, channels=[torch.arange(48)] * 3, mean=mean),
    ):
        assert torch.equal(child(TOKENS), model(TOKENS))


@pytest.mark.parametrize("name", NAMES)
def test_the_bias_of_constant_channels_is_exact(parent, name, tmp_path):
    """Channels that do not fluctuate are replaced by their mean without any loss."""
    model = loading.load(parent(name)).requires_grad_(False)
    mean = torch.zeros(3, 48, dtype=torch.float64)
    mean[:, ::3] = 0.7
    kept = [torch.tensor([c for c in range(48) if c % 3])] * 3
    child = pruning.pruned(model, channels=kept, mean=mean)
    x = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(3))
    for own, other in zip(model.layers, child.layers, strict=True):
        mlp, narrow = own.subblock("ffn"), other.subblock("ffn")
        h = channels(mlp, x)
        h[..., ::3] = 0.7
        assert torch.allclose(mlp.down_proj(h), narrow(x), atol=1e-5)
        before = mlp.gate_proj.bias if name == "llama_biases" else torch.zeros(48)
        assert torch.equal(narrow.gate_proj.bias, before[kept[0]])
    without = pruning.pruned(model, channels=kept)
    described = getattr(child.config, BLOCKS)
    assert getattr(without.config, BLOCKS) == [
        block | {"ffn": {key: value for key, value in block["ffn"].items() if key != "bias"}} for block in described
    ]
    children.save(child, parent(name), tmp_path / "child")
    torch.testing.assert_close(loading.load(tmp_path / "child")(TOKENS), child(TOKENS))


def test_dropped_layers_pass_their_input_on(model):
    child = pruning.pruned(model, dropped=[1])
    states = hidden_states(child, TOKENS)[0]
    assert torch.equal(states[1], states[2])
    assert torch.equal(states[1], hidden_states(model, TOKENS)[0][1])
