"""Closed-form refits of a child: what is fitted to what, against an independent least squares."""

import numpy as np
import pytest
import torch

from tessera.puzzle import child
from tessera.puzzle.heal.refit import refit
from tessera.puzzle.models import loading
from tessera.puzzle.params import RefitParams
from tessera.puzzle.scores.replace_one import hidden_states

TOKENS = torch.randint(1, 64, (40, 12), generator=torch.Generator().manual_seed(4))
VALID = 10
PARAMS = RefitParams(tokens=480, ridges=(1e-3, 0.1, 10.0))


@pytest.fixture
def pair(parent, library, variants):
    """A parent and a new child of it."""

    def make(choice, name="llama"):
        teacher = loading.load(parent(name)).requires_grad_(False)
        return teacher, child.assemble(teacher, variants, library(name), choice)

    return make


def distance(teacher, student, tokens):
    """Relative squared distance of the child's last states, of held-out windows."""
    target, found = teacher.last(tokens), student.last(tokens)
    return float(((target - found).square().sum(-1) / target.square().sum(-1)).mean())


@pytest.mark.parametrize("name", ["llama", "qwen3", "llama_biases", "gemma3"])
def test_a_child_comes_closer_to_its_parent(pair, tmp_path, name):
    teacher, student = pair(["no_op+parent", "no_op+parent", "parent+parent"], name)
    before = distance(teacher, student, TOKENS[-VALID:])
    fits = refit(teacher, student, TOKENS, VALID, PARAMS, tmp_path)
    assert all(fit.after <= fit.before for fit in fits)
    assert all((fit.ridge is None) == (fit.after == fit.before) for fit in fits)
    assert any(fit.ridge is not None for fit in fits)
    if name != "gemma3":  # whose maps are fitted to the parent's outputs, not to its states
        assert distance(teacher, student, TOKENS[-VALID:]) < before


def test_maps_and_their_order(pair, tmp_path):
    teacher, student = pair(["parent+parent", "linear+no_op", "kv1+ffn50"])
    fits = refit(teacher, student, TOKENS, VALID, PARAMS, tmp_path)
    assert [(fit.layer, fit.subblock, fit.replaced) for fit in fits] == [
        (1, "attention", True),
        (2, "attention", True),
        (2, "ffn", True),
    ]


def test_what_is_below_the_first_variant_stays(pair, tmp_path):
    teacher, student = pair(["parent+parent", "parent+no_op", "parent+parent"])
    before = {name: value.clone() for name, value in student.network.state_dict().items()}
    fits = refit(teacher, student, TOKENS, VALID, PARAMS, tmp_path)
    changed = {name for name, value in student.network.state_dict().items() if not torch.equal(value, before[name])}
    assert [(fit.layer, fit.subblock, fit.replaced) for fit in fits] == [(2, "attention", False), (2, "ffn", False)]
    assert changed == {"model.layers.2.self_attn.o_proj.weight", "model.layers.2.mlp.down_proj.weight"}


def test_a_child_that_is_its_parent_is_not_fitted(pair, tmp_path):
    teacher, student = pair(["parent+parent"] * 3)
    assert refit(teacher, student, TOKENS, VALID, PARAMS, tmp_path) == []


@pytest.mark.parametrize("masked", [False, True])
def test_the_map_is_the_ridge_regression_around_its_weights(pair, tmp_path, masked):
    """Against numpy, on a child of which nothing but the last FFN is refitted."""
    teacher, student = pair(["parent+parent", "parent+parent", "parent+ffn50"])
    linear = student.layer(2).subblock("ffn").get_submodule("down_proj")
    W = linear.weight.double().numpy().T.copy()
    mask = torch.rand(TOKENS.shape, generator=torch.Generator().manual_seed(1)) < 0.5 if masked else None
    before, middle, calls = hidden_states(teacher, TOKENS)
    f = student.layer(2).inner("ffn", before[2], calls).features(student.layer(2).subblock("ffn"), "down_proj")
    y, after = before[3] - middle[2], before[3]
    counts = np.ones(TOKENS.shape) if mask is None else mask.numpy().astype(float)
    w = counts / after.double().square().sum(-1).numpy()
    train = slice(0, len(TOKENS) - VALID)
    F, Y, w = (np.asarray(value[train], float).reshape(-1, *value.shape[2:]) for value in (f.numpy(), y.numpy(), w))
    G = F.T @ (w[:, None] * F)
    ridge = 0.1
    C = F.T @ (w[:, None] * (Y - F @ W))
    expected = W + np.linalg.solve(G + ridge * np.trace(G) / len(G) * np.eye(len(G)), C)
    [fit] = refit(teacher, student, TOKENS, VALID, PARAMS.model_copy(update={"ridges": (ridge,)}), tmp_path, mask)
    assert fit.ridge == ridge
    np.testing.assert_allclose(linear.weight.double().numpy().T, expected, rtol=1e-3, atol=1e-5)


def test_tokens_that_do_not_count_have_no_part(pair, tmp_path):
    choice = ["no_op+parent", "parent+ffn50", "linear+parent"]
    mask = torch.ones(TOKENS.shape, dtype=torch.bool)
    mask[:, -3:] = False
    others = TOKENS.clone()
    others[:, -3:] = 7
    weights = []
    for number, tokens in enumerate((TOKENS, others)):
        teacher, student = pair(choice)
        (tmp_path / str(number)).mkdir()
        refit(teacher, student, tokens, VALID, PARAMS, tmp_path / str(number), mask)
        weights.append(student.network.state_dict())
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name])


def test_the_progress_counts_the_layers(pair, tmp_path):
    teacher, student = pair(["no_op+parent", "parent+parent", "parent+parent"])
    seen = []

    def track(layers):
        for layer in layers:
            seen.append(layer)
            yield layer

    refit(teacher, student, TOKENS, VALID, PARAMS, tmp_path, track=track)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("valid", [0, len(TOKENS)])
def test_text_of_which_no_side_has_any(pair, tmp_path, valid):
    with pytest.raises(ValueError, match=f"40 windows, of which {valid} are held out; expected some of both"):
        refit(*pair(["no_op+parent"] * 3), TOKENS, valid, PARAMS, tmp_path)
