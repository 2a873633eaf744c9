"""Other ways to prune: what they keep, what it costs, and that what they build computes what it should."""

import dataclasses

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from tessera.puzzle.models import architecture as architectures
from tessera.puzzle.models import loading
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
def setting(parent):
    architecture = architectures.read(parent("llama"))
    return loading.load(parent("llama")).requires_grad_(False), architecture


@pytest.fixture
def times(setting):
    return pruning.Times(COSTS, SPACE, setting[1])


def test_statistics_are_those_of_the_hidden_states_and_channels(setting):
    model, architecture = setting
    found = pruning.statistics(model, TOKENS)
    states, middle = hidden_states(model, TOKENS)
    for i, layer in enumerate(model.model.layers):
        influence = 1 - F.cosine_similarity(states[i], states[i + 1], dim=-1).mean()
        assert found.influence[i] == pytest.approx(float(influence), abs=1e-5)
        h = layer.mlp.channels(layer.post_attention_layernorm(middle[i])).double()
        assert torch.allclose(found.mean[i], h.mean((0, 1)), atol=1e-6)
        assert torch.allclose(found.variance[i], h.var((0, 1), unbiased=False), atol=1e-5)
        assert torch.allclose(found.magnitude[i], h.abs().mean(1).norm(dim=0), atol=1e-5)
    assert len(found.influence) == architecture.num_layers


def test_times_are_the_tables_and_straight_between(times):
    assert times.of([48, 24, 0]) == pytest.approx(3 * 2 + 8 + 5 + 0)
    assert times.of([36]) == pytest.approx(2 + 6.5)
    assert times.of([48, 48], [True, False]) == pytest.approx(10)


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


@pytest.mark.parametrize("name", ["llama", "llama_biases"])
def test_a_child_that_keeps_all_is_the_parent(parent, name):
    architecture = architectures.read(parent(name))
    model = loading.load(parent(name)).requires_grad_(False)
    every = [torch.arange(architecture.intermediate_size)] * architecture.num_layers
    mean = torch.zeros(architecture.num_layers, architecture.intermediate_size, dtype=torch.float64)
    for child in (
        pruning.pruned(model, architecture),
        pruning.pruned(model, architecture, channels=every),
        pruning.pruned(model, architecture, channels=every, mean=mean),
    ):
        assert torch.equal(child(TOKENS), model(TOKENS))


@pytest.mark.parametrize("name", ["llama", "llama_biases"])
def test_the_bias_of_constant_channels_is_exact(parent, name):
    """Channels that do not fluctuate are replaced by their mean without any loss."""
    architecture = architectures.read(parent(name))
    model = loading.load(parent(name)).requires_grad_(False)
    mean = torch.zeros(architecture.num_layers, architecture.intermediate_size, dtype=torch.float64)
    mean[:, ::3] = 0.7
    kept = [torch.tensor([c for c in range(48) if c % 3])] * architecture.num_layers
    child = pruning.pruned(model, architecture, channels=kept, mean=mean)
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(3))
    for own, other in zip(model.model.layers, child.model.layers, strict=True):
        h = own.mlp.channels(x)
        h[:, ::3] = 0.7
        assert torch.allclose(own.mlp.down_proj(h), other.mlp(x), atol=1e-5)
    without = pruning.pruned(model, architecture, channels=kept)
    assert without.spec == dataclasses.replace(child.spec, mlp_bias=without.spec.mlp_bias)


def test_dropped_layers_pass_their_input_on(setting):
    model, architecture = setting
    child = pruning.pruned(model, architecture, dropped=[1])
    states = hidden_states(child, TOKENS)[0]
    assert torch.equal(states[1], states[2])
    assert torch.equal(states[1], hidden_states(model, TOKENS)[0][1])
