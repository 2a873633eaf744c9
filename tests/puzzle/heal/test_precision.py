"""Gradient checkpointing changes no bit of a healing, and products in bfloat16 little."""

import pytest
import test_heal
import torch
import torch.nn.functional as F
from healing_worker import KilledError, dies_before
from test_heal import PARAMS, TOKENS, run, same

from tessera.common import files
from tessera.puzzle.heal import train as heal
from tessera.puzzle.params import HealParams

pair = test_heal.pair  # a fixture


def products(dtype):
    """Matrix products of this type, as compute.start has them."""
    return torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16", cache_enabled=False)


def held(teacher, student, params):
    """The loss, and bytes of what its graph holds beside weights."""
    sizes = {}
    own = {p.untyped_storage().data_ptr() for model in (teacher, student) for p in model.parameters()}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = heal.loss(teacher, student, TOKENS, params)[0]
    return value, sum(sizes.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradient_checkpointing_holds_less_and_changes_no_bit(pair, dtype):
    found = {}
    for on in (False, True):
        teacher, student = pair()
        params = HealParams.model_validate(PARAMS | {"gradient_checkpointing": on, "cosine": 0.0})
        weights = [p.requires_grad_(True) for p in student.network.model.layers.parameters()]
        with products(dtype):
            value, size = held(teacher, student, params)
            found[on] = value, torch.autograd.grad(value, weights), size
    assert torch.equal(found[True][0], found[False][0])
    assert all(torch.equal(a, b) for a, b in zip(found[True][1], found[False][1], strict=True))
    states = TOKENS[:, :-1].numel() * 32 * 4  # hidden states of one layer
    # The inputs of three layers, and the last states, their norm and gradient.
    assert found[True][2] <= 7 * states < found[False][2] / 2


def test_gradient_checkpointing_heals_to_the_same_bits(pair):
    plain, recomputed = run(pair()), run(pair(), gradient_checkpointing=True)
    assert plain[1] == recomputed[1] and same(plain[0], recomputed[0])


@pytest.mark.parametrize("train", ["blocks", "all"])
def test_bfloat16_products_are_near_to_float32(pair, train):
    teacher, student = pair("llama_ungrouped")
    gradients = {}
    for dtype in ("float32", "bfloat16"):
        params = HealParams.model_validate(PARAMS | {"train": train, "lm": 0.3})
        weights = heal.trainable(student, params)
        for p in weights.values():
            p.requires_grad_(True)
        with products(dtype):
            found = heal.loss(teacher, student, TOKENS, params)
        gradients[dtype] = torch.cat([g.flatten() for g in torch.autograd.grad(found[0], list(weights.values()))])
        assert {one.dtype for one in (*found, gradients[dtype])} == {torch.float32}
        gradients[dtype, "losses"] = torch.stack(found).detach()
    assert not torch.equal(gradients["bfloat16"], gradients["float32"])
    torch.testing.assert_close(gradients["bfloat16", "losses"], gradients["float32", "losses"], rtol=2e-2, atol=2e-2)
    assert F.cosine_similarity(gradients["bfloat16"], gradients["float32"], dim=0) > 0.99


def test_bfloat16_heals_weights_of_float32(pair, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KilledError), products("bfloat16"):
        run(pair(), heal.Checkpoint(path, {}), dies_before(5))
    assert {tensor.dtype for tensor in files.load_tensors(path).values()} == {torch.float32}
    with products("bfloat16"):
        expected, curve = run(pair())
        student, again = run(pair(), heal.Checkpoint(path, {}))
    assert again == curve and same(student, expected)
    assert sum(curve.kl_div[-3:]) < 0.9 * sum(curve.kl_div[:3])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_parent_is_no_distance_from_itself(pair, dtype):
    teacher = pair()[0]
    with products(dtype):
        _, kl, cosine, _ = heal.loss(teacher, teacher, TOKENS, HealParams.model_validate(PARAMS))
    assert abs(float(kl)) < 1e-6 and abs(float(cosine)) < 1e-6
