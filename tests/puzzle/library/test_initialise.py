"""Variants before any gradient: the paper's rules by hand, and least squares against them."""

import pytest
import torch
from tiny_models import PARENTS, network

from tessera.puzzle.library import initialise, least_squares
from tessera.puzzle.library.least_squares import Moments
from tessera.puzzle.models import loading, slices
from tessera.puzzle.models.anatomy import tensor
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.layer import Inner
from tessera.puzzle.models.space import FFN, Attention

WINDOWS, T, RIDGE = 24, 16, 1e-10
MERGED, LINEAR = Attention(kind="gqa", kv_heads=1), Attention(kind="linear")


@pytest.fixture(params=["llama", "llama_ungrouped", "llama_biases", "qwen3"])
def model(request, parent):
    assert request.param in PARENTS
    return loading.load(parent(request.param)).requires_grad_(False)


@pytest.fixture
def layer(model):
    """Middle layer of a parent."""
    return model.layers[1]


@pytest.fixture
def attention_calls(model):
    return batches(model, "attention")


@pytest.fixture
def ffn_calls(model):
    return batches(model, "ffn")


@torch.no_grad()
def batches(model, subblock, size=8):
    """Calls of a subblock, its outputs, and positive weights."""
    g = torch.Generator().manual_seed(0)
    x, w = torch.randn(WINDOWS, T, 32, generator=g), 0.1 + torch.rand(WINDOWS, T, generator=g)
    like = model.layers[1].inner(subblock, x[:1], model.calls(T))
    calls = [
        Inner((part,), like.kwargs) if like.args else Inner((), like.kwargs | {"hidden_states": part})
        for part in x.split(size)
    ]
    own = model.layers[1].subblock(subblock)
    return [(call, call.of(own), part) for call, part in zip(calls, w.split(size), strict=True)]


@torch.no_grad()
def error(child, calls):
    """Weighted squared error of a subblock on batches."""
    return sum(float((w[..., None] * (y - call.of(child)).square()).sum(dtype=torch.float64)) for call, y, w in calls)


def fitted(child, last, calls, m=None):
    """The child, its last map fitted."""
    initialise.fit(child.get_submodule(last), m or initialise.moments(child, last, calls), RIDGE)
    return child


def narrow(m, kept):
    return Moments(m.G[kept][:, kept], m.C[kept])


def test_pooled_heads_are_means_of_their_groups():
    def pooled(weight, kept):
        like = {"k_proj.weight": torch.empty(kept * 2, *weight.shape[1:])}
        return slices.heads({"k_proj.weight": weight}, like, 6, len(weight) // 2, kept, 2, None)["k_proj.weight"]

    weight = torch.arange(24.0).view(6, 4)  # 3 KV heads of 2
    assert torch.equal(pooled(weight, 1), (weight[:2] + weight[2:4] + weight[4:]) / 3)
    assert torch.equal(pooled(weight, 3), weight)
    bias = torch.tensor([0.0, 1, 2, 3, 10, 11, 12, 13])  # 4 KV heads of 2, to 2
    assert pooled(bias, 2).tolist() == [1, 2, 11, 12]


def test_merged_attention_keeps_all_but_keys_and_values(model, layer, attention_calls):
    child = initialise.attention(layer, model.config, MERGED, attention_calls[0][0], None).state_dict()
    for name, value in layer.subblock("attention").state_dict().items():
        if name.startswith(("k_proj", "v_proj")):
            torch.testing.assert_close(child[name], torch.stack(value.split(model.config.head_dim)).mean(0))
        else:
            assert torch.equal(child[name], value)


def test_dropped_groups_take_their_query_heads_with_them(model, layer, attention_calls):
    """The parent's attention, in which the other groups are silent."""
    config, call = model.config, attention_calls[0][0]
    variant = Attention(kind="gqa", kv_heads=1, reduction="drop")
    child = initialise.attention(layer, config, variant, call, torch.tensor([1]))
    own, E = layer.subblock("attention"), config.head_dim
    heads = torch.arange(config.num_attention_heads) // (config.num_attention_heads // config.num_key_value_heads)
    silent = own.o_proj.weight.clone()
    silent[:, (heads != 1).repeat_interleave(E)] = 0
    with torch.no_grad():
        expected = call.features(own, "o_proj") @ silent.T + (0 if own.o_proj.bias is None else own.o_proj.bias)
        torch.testing.assert_close(call.of(child), expected, rtol=1e-4, atol=1e-5)


def test_kept_groups_are_those_that_say_most(model, layer, attention_calls):
    own, config = layer.subblock("attention"), model.config
    per_group = config.num_attention_heads // config.num_key_value_heads * config.head_dim
    own.o_proj.weight.data[:, :per_group] *= 1e-3
    m = initialise.channel_moments(own, "o_proj", attention_calls)
    kept = initialise.kept_groups(own.o_proj, m, config.num_key_value_heads, config.num_key_value_heads - 1)
    assert 0 not in kept.tolist() and len(kept) == config.num_key_value_heads - 1


def test_window_is_the_parents_attention_over_the_last_tokens(model, layer, attention_calls):
    variant = Attention(kind="gqa", window=3)
    child, call = initialise.attention(layer, model.config, variant, attention_calls[0][0], None), attention_calls[0][0]
    where = torch.arange(T)
    near = (where[:, None] >= where) & (where[:, None] - where < 3)
    expected = Inner(call.args, call.kwargs | {"attention_mask": near[None, None]}).of(layer.subblock("attention"))
    torch.testing.assert_close(call.of(child), expected)


def test_linear_attention_is_attention_where_each_token_sees_itself_alone(model, layer, attention_calls):
    own, call = layer.subblock("attention"), attention_calls[0][0]
    child = initialise.attention(layer, model.config, LINEAR, call, None)
    for linear in (own.v_proj, own.o_proj):
        if linear.bias is not None:
            linear.bias.data.zero_()
    alone = torch.eye(T, dtype=torch.bool)[None, None]
    expected = Inner(call.args, call.kwargs | {"attention_mask": alone}).of(own)
    torch.testing.assert_close(call.of(child), expected, rtol=1e-3, atol=1e-4)


def test_narrower_ffn_is_the_kept_channels_alone(model, layer, ffn_calls):
    kept, call, own = torch.tensor([1, 5, 40]), ffn_calls[0][0], layer.subblock("ffn")
    variant = FFN(kind="gated", width=3 / 48)
    child = initialise.ffn(layer, model.config, variant, kept)
    expected = call.features(own, "down_proj")[..., kept] @ own.down_proj.weight[:, kept].T
    if own.down_proj.bias is not None:
        expected = expected + own.down_proj.bias
    torch.testing.assert_close(call.of(child), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="the channels that it keeps"):
        initialise.ffn(layer, model.config, variant, None)


def test_linear_ffn_ignores_the_gate(model, layer):
    child, own, x = initialise.ffn(layer, model.config, FFN(kind="linear")), layer.subblock("ffn"), torch.randn(4, 32)
    expected = x @ own.up_proj.weight.T @ own.down_proj.weight.T
    torch.testing.assert_close(tensor(child(x)), expected, rtol=1e-4, atol=1e-5)


def test_no_op_is_nothing(model, layer, attention_calls):
    assert initialise.attention(layer, model.config, Attention(kind="no_op"), attention_calls[0][0], None) is None
    assert initialise.ffn(layer, model.config, FFN(kind="no_op")) is None


@pytest.mark.parametrize("variant", [MERGED, LINEAR])
def test_fitted_attention_is_the_best_output_map(model, layer, attention_calls, variant):
    child = initialise.attention(layer, model.config, variant, attention_calls[0][0], None)
    paper, name = error(child, attention_calls), "linear" if variant.kind == "linear" else "o_proj"
    best = error(fitted(child, name, attention_calls), attention_calls)
    assert best <= paper * (1 + 1e-6)
    last = child.get_submodule(name)
    for _ in range(3):  # no other map is better
        step = 1e-2 * torch.randn_like(last.weight)
        last.weight.data += step
        assert error(child, attention_calls) > best
        last.weight.data -= step


def test_fit_of_the_parents_own_attention_is_the_parents_output_map(layer, attention_calls):
    own = layer.subblock("attention")
    weight = own.o_proj.weight.clone()
    own.o_proj.weight.data.zero_()
    fitted(own, "o_proj", attention_calls)
    torch.testing.assert_close(own.o_proj.weight, weight, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("selection", ["contribution", "reconstruction"])
def test_fitted_ffns_are_the_best_down_projections(model, layer, ffn_calls, selection):
    own = layer.subblock("ffn")
    m = initialise.channel_moments(own, "down_proj", ffn_calls)
    kept = initialise.kept_channels(own.down_proj, m, [24, 12], selection, 1e-6)
    for width in (24, 12):
        child = initialise.ffn(layer, model.config, FFN(kind="gated", width=width / 48), kept[width])
        paper = error(child, ffn_calls)
        best = error(fitted(child, "down_proj", ffn_calls, narrow(m, kept[width])), ffn_calls)
        assert best < paper
        child.down_proj.weight.data += 1e-2 * torch.randn_like(child.down_proj.weight)
        assert error(child, ffn_calls) > best
    linear = initialise.ffn(layer, model.config, FFN(kind="linear"))
    paper = error(linear, ffn_calls)
    assert error(fitted(linear, "linear", ffn_calls), ffn_calls) < paper


def test_reconstruction_selects_better_channels_than_contribution(model, layer, ffn_calls, monkeypatch):
    monkeypatch.setattr(least_squares, "ELIMINATION_BATCH", 1)  # 36 of 48 channels in batches of 16 is coarse
    own, errors = layer.subblock("ffn"), {}
    m = initialise.channel_moments(own, "down_proj", ffn_calls)
    for selection in ("contribution", "reconstruction"):
        kept = initialise.kept_channels(own.down_proj, m, [12], selection, 1e-6)[12]
        child = initialise.ffn(layer, model.config, FFN(kind="gated", width=0.25), kept)
        errors[selection] = error(fitted(child, "down_proj", ffn_calls, narrow(m, kept)), ffn_calls)
    assert errors["reconstruction"] < errors["contribution"]


def test_contribution_keeps_the_papers_channels(layer, ffn_calls):
    own = layer.subblock("ffn")
    m = initialise.channel_moments(own, "down_proj", ffn_calls)
    kept = initialise.kept_channels(own.down_proj, m, [10], "contribution", 1e-6)[10]
    square = sum((w[..., None] * call.features(own, "down_proj").square()).sum((0, 1)) for call, _, w in ffn_calls)
    order = (square.sqrt() * own.down_proj.weight.norm(dim=0)).argsort(descending=True)
    assert kept.tolist() == sorted(order[:10].tolist())


def test_channel_moments_know_the_ffns_output(layer, ffn_calls):
    own = layer.subblock("ffn")
    m, direct = (f(own, "down_proj", ffn_calls) for f in (initialise.channel_moments, initialise.moments))
    torch.testing.assert_close(m.C, direct.C, rtol=1e-3, atol=1e-3)
    assert abs(m.Y - direct.Y) < 1e-3 * direct.Y
    assert isinstance(m, Moments) and m.error(own.down_proj.weight.T.double()) < 1e-6


def test_no_text_is_a_clear_error(layer):
    for moments in (initialise.moments, initialise.channel_moments):
        with pytest.raises(ValueError, match=r"calibration\.tokens holds no whole window"):
            moments(layer.subblock("ffn"), "down_proj", [])


def test_experts_are_judged_by_the_tokens_that_count():
    model = LanguageModel(network("mixtral"))
    layer, tokens = model.layers[1], torch.randint(3, 97, (3, 8), generator=torch.Generator().manual_seed(0))
    x, calls = model.inputs(tokens)
    call, ffn = layer.inner("ffn", x, calls, attention=None), layer.subblock("ffn")
    mask = torch.arange(8).expand(3, 8) % 3 == 1
    every, some, others = (
        initialise.expert_saliency(ffn, [(call, call.of(ffn), weight.float())])
        for weight in (torch.full_like(mask, True), mask, ~mask)
    )
    torch.testing.assert_close(some + others, every)
    assert (some > 0).any() and not torch.allclose(some, others)


@pytest.mark.parametrize("interleaved", [False, True])
def test_channels_of_experts_are_those_of_the_largest_weights(interleaved):
    mixture = torch.nn.Module()
    mixture.up = torch.nn.Parameter(torch.ones(2, 12, 4))  # experts, gate and up of 6 channels each, hidden size
    mixture.down = torch.nn.Parameter(torch.ones(2, 4, 6))
    largest = torch.tensor([[1, 4], [0, 5]])
    for expert, channels in enumerate(largest):
        rows = 2 * channels if interleaved else channels
        mixture.up.data[expert, rows] = 3.0
        mixture.down.data[expert, :, channels] = 2.0
    assert torch.equal(initialise.expert_channels(mixture, 6, 2, interleaved), largest)
