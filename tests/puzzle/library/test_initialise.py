"""Variants before any gradient: the paper's rules by hand, and least squares against them."""

import pytest
import torch
from tiny_models import PARENTS

from tessera.puzzle.library import initialise, least_squares
from tessera.puzzle.library.least_squares import Moments
from tessera.puzzle.models import loading
from tessera.puzzle.models.model import AttentionSpec, FFNSpec

WINDOWS, T, RIDGE = 24, 16, 1e-10


@pytest.fixture(params=["llama", "llama_ungrouped", "llama_biases", "qwen3"])
def layer(request, parent):
    """Middle layer of a parent, its specification and rotary positions."""
    assert request.param in PARENTS
    model = loading.load(parent(request.param)).requires_grad_(False)
    return model.model.layers[1], model.spec, model.model.rotary(torch.arange(T)[None], torch.float32)


def batches(subblock, size=8):
    """Inputs of a subblock, its outputs, and positive weights."""
    g = torch.Generator().manual_seed(0)
    x, w = torch.randn(WINDOWS, T, 32, generator=g), 0.1 + torch.rand(WINDOWS, T, generator=g)
    return [(a, subblock(a), b) for a, b in zip(x.split(size), w.split(size), strict=True)]


@torch.no_grad()
def error(child, found):
    """Weighted squared error of a subblock on batches."""
    return sum(float((w[..., None] * (y - child(x)).square()).sum(dtype=torch.float64)) for x, y, w in found)


def test_pooled_heads_are_means_of_their_groups():
    weight = torch.arange(24.0).view(6, 4)  # 3 KV heads of 2
    expected = (weight[:2] + weight[2:4] + weight[4:]) / 3
    assert torch.equal(initialise.pool_heads(weight, 1, 2), expected)
    assert torch.equal(initialise.pool_heads(weight, 3, 2), weight)
    bias = torch.tensor([0.0, 1, 2, 3, 10, 11, 12, 13])  # 4 KV heads of 2, to 2
    assert initialise.pool_heads(bias, 2, 2).tolist() == [1, 2, 11, 12]


def test_merged_attention_keeps_all_but_keys_and_values(layer):
    parent, spec, _ = layer
    child = initialise.attention(spec, parent.self_attn, AttentionSpec("gqa", 1)).state_dict()
    own, E = parent.self_attn.state_dict(), spec.head_dim
    for name, value in own.items():
        if name.startswith(("k_proj", "v_proj")):
            torch.testing.assert_close(child[name], torch.stack(value.split(E)).mean(0))
        else:
            assert torch.equal(child[name], value)


def test_unmerged_attention_is_the_parents(layer):
    parent, spec, rotary = layer
    child = initialise.attention(spec, parent.self_attn, AttentionSpec("gqa", parent.self_attn.num_kv_heads))
    x = torch.randn(2, T, 32)
    assert torch.equal(child(x, rotary), parent.self_attn(x, rotary))


def test_linear_attention_is_attention_where_each_token_sees_itself_alone(layer):
    parent, spec, _ = layer
    child = initialise.attention(spec, parent.self_attn, AttentionSpec("linear"))
    attention = parent.self_attn
    for linear in (attention.v_proj, attention.o_proj):
        if linear.bias is not None:
            linear.bias.data.zero_()
    x = torch.randn(20, 1, 32)  # 20 sequences of one token
    first = (torch.ones(1, 1, 1, spec.head_dim), torch.zeros(1, 1, 1, spec.head_dim))
    torch.testing.assert_close(child(x), attention(x, first), rtol=1e-4, atol=1e-5)


def test_narrower_ffn_is_the_kept_channels_alone(layer):
    parent, spec, _ = layer
    kept, x = torch.tensor([1, 5, 40]), torch.randn(4, 32)
    child = initialise.ffn(spec, parent.mlp, FFNSpec("gated", 3), kept)
    expected = parent.mlp.channels(x)[:, kept] @ parent.mlp.down_proj.weight[:, kept].T
    if parent.mlp.down_proj.bias is not None:
        expected = expected + parent.mlp.down_proj.bias
    torch.testing.assert_close(child(x), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="the channels that it keeps"):
        initialise.ffn(spec, parent.mlp, FFNSpec("gated", 3), None)


def test_linear_ffn_ignores_the_gate(layer):
    parent, spec, _ = layer
    child, x = initialise.ffn(spec, parent.mlp, FFNSpec("linear"), None), torch.randn(4, 32)
    torch.testing.assert_close(
        child(x), x @ parent.mlp.up_proj.weight.T @ parent.mlp.down_proj.weight.T, rtol=1e-4, atol=1e-5
    )


def test_no_op_is_nothing(layer):
    parent, spec, _ = layer
    assert initialise.attention(spec, parent.self_attn, AttentionSpec("no_op")) is None
    assert initialise.ffn(spec, parent.mlp, FFNSpec("no_op"), None) is None


@pytest.mark.parametrize("what", [AttentionSpec("gqa", 1), AttentionSpec("linear")])
def test_fitted_attention_is_the_best_output_map(layer, what):
    parent, spec, rotary = layer
    found = batches(lambda x: parent.self_attn(x, rotary))
    child = initialise.attention(spec, parent.self_attn, what)
    paper = error(lambda x: child(x, rotary), found)
    initialise.fit_attention(child, rotary, found, RIDGE)
    fitted = error(lambda x: child(x, rotary), found)
    assert fitted <= paper * (1 + 1e-6)
    last = child.linear_attn if what.kind == "linear" else child.o_proj
    for _ in range(3):  # no other map is better
        step = 1e-2 * torch.randn_like(last.weight)
        last.weight.data += step
        assert error(lambda x: child(x, rotary), found) > fitted
        last.weight.data -= step


def test_fit_of_the_parents_own_heads_is_the_parents_output_map(layer):
    parent, spec, rotary = layer
    child = initialise.attention(spec, parent.self_attn, AttentionSpec("gqa", parent.self_attn.num_kv_heads))
    child.o_proj.weight.data.zero_()
    initialise.fit_attention(child, rotary, batches(lambda x: parent.self_attn(x, rotary)), RIDGE)
    torch.testing.assert_close(child.o_proj.weight, parent.self_attn.o_proj.weight, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("selection", ["contribution", "reconstruction"])
def test_fitted_ffns_are_the_best_down_projections(layer, selection):
    parent, spec, _ = layer
    found = batches(parent.mlp)
    m = initialise.channel_moments(parent.mlp, found)
    kept = initialise.kept_channels(parent.mlp, m, [24, 12], selection, 1e-6)
    for width in (24, 12):
        child = initialise.ffn(spec, parent.mlp, FFNSpec("gated", width), kept[width])
        paper = error(child, found)
        initialise.fit_ffn(child, m, kept[width], found, RIDGE)
        fitted = error(child, found)
        assert fitted < paper
        step = 1e-2 * torch.randn_like(child.down_proj.weight)
        child.down_proj.weight.data += step
        assert error(child, found) > fitted
    linear = initialise.ffn(spec, parent.mlp, FFNSpec("linear"), None)
    paper = error(linear, found)
    initialise.fit_ffn(linear, None, None, found, RIDGE)
    assert error(linear, found) < paper
    with pytest.raises(ValueError, match="the channels that it keeps and their moments"):
        initialise.fit_ffn(child, None, None, found, RIDGE)


def test_reconstruction_selects_better_channels_than_contribution(layer, monkeypatch):
    monkeypatch.setattr(least_squares, "ELIMINATION_BATCH", 1)  # 36 of 48 channels in batches of 16 is coarse
    parent, spec, _ = layer
    found, errors = batches(parent.mlp), {}
    m = initialise.channel_moments(parent.mlp, found)
    for selection in ("contribution", "reconstruction"):
        kept = initialise.kept_channels(parent.mlp, m, [12], selection, 1e-6)[12]
        child = initialise.ffn(spec, parent.mlp, FFNSpec("gated", 12), kept)
        initialise.fit_ffn(child, m, kept, found, RIDGE)
        errors[selection] = error(child, found)
    assert errors["reconstruction"] < errors["contribution"]


def test_contribution_keeps_the_papers_channels(layer):
    parent, _, _ = layer
    found = batches(parent.mlp)
    m = initialise.channel_moments(parent.mlp, found)
    kept = initialise.kept_channels(parent.mlp, m, [10], "contribution", 1e-6)[10]
    square = sum((w[..., None] * parent.mlp.channels(x).square()).sum((0, 1)) for x, _, w in found)
    order = (square.sqrt() * parent.mlp.down_proj.weight.norm(dim=0)).argsort(descending=True)
    assert kept.tolist() == sorted(order[:10].tolist())


def test_channel_moments_know_the_ffns_output(layer):
    parent, _, _ = layer
    found = batches(parent.mlp)
    m, bias = initialise.channel_moments(parent.mlp, found), parent.mlp.down_proj.bias
    direct = initialise.moments(parent.mlp.channels, bias, found)
    torch.testing.assert_close(m.C, direct.C, rtol=1e-3, atol=1e-3)
    assert abs(m.Y - direct.Y) < 1e-3 * direct.Y
    assert isinstance(m, Moments) and m.error(parent.mlp.down_proj.weight.T.double()) < 1e-6


def test_no_text_is_a_clear_error():
    with pytest.raises(ValueError, match=r"calibration\.tokens holds no whole window"):
        initialise.moments(lambda x: x, None, [])
