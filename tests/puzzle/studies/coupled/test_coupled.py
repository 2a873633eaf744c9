"""Pairs of variants trained together."""

import copy

import pytest
import torch
from small_library_params import PARAMS

from tessera.puzzle import child
from tessera.puzzle.library import distill, initialise
from tessera.puzzle.library.build import LayerLibrary
from tessera.puzzle.models import loading
from tessera.puzzle.models.anatomy import tensor
from tessera.puzzle.models.loading import BLOCKS
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import LibraryParams
from tessera.puzzle.scores.replace_one import hidden_states
from tessera.puzzle.studies.coupled import pairs
from tessera.puzzle.studies.coupled.pairs import MARK, Coupling

LAYER = 1
TEXT = torch.randint(1, 64, (28, 16), generator=torch.Generator().manual_seed(0))
#: Tokens that count, a different number in each window.
MASK = torch.arange(16)[None] % torch.arange(2, 30)[:, None] == 1
OPTIMISER = {"tokens": 640, "batch_windows": 4, "learning_rate": 2e-3}
PAIRS = ["no_op+parent", "no_op+ffn50", "no_op+linear", "linear+parent", "linear+ffn25", "kv1+linear", "linear+no_op"]


def generator(name):
    return torch.Generator().manual_seed(len(name))


@pytest.fixture(scope="module")
def setting(parent, variants, tmp_path_factory):
    """A parent, and the directory of a decoupled library of LAYER."""
    from tessera.common import files

    model = loading.load(parent()).requires_grad_(False)
    directory = tmp_path_factory.mktemp("library")
    made = builder(model, variants, tmp_path_factory.mktemp("scratch"), LayerLibrary)
    files.save_tensors(directory / f"layer_{LAYER}.safetensors", made.build()[0])
    return model, directory


def builder(model, space, scratch, kind=Coupling, mask=None, **changes):
    states = hidden_states(model, TEXT)[0][LAYER]
    params = LibraryParams.model_validate(PARAMS | changes)
    masks = (None, None) if mask is None else (mask[:24], mask[24:])
    return kind(model, LAYER, space, params, states[:24], states[24:], generator, scratch, masks)


@pytest.fixture
def couple(setting, variants, tmp_path_factory):
    """Couple one pair with changes of the library's parameters: the coupling, its modules and the record."""

    def call(pair, ridges=(1e-6, 1e-2), **changes):
        model, directory = setting
        made = builder(model, variants, tmp_path_factory.mktemp("scratch"), **changes)
        modules = child.subblocks(model, variants, [directory], LAYER, pair)
        return made, modules, made.couple(pair, modules, ridges)

    return call


def output(made, modules, where):
    """What a pair makes of the hidden states before the layer: h + F(norm h), h = x + A(norm x)."""
    (attention, ffn), own, x = modules, made.layer, where.before
    h = x
    if attention is not None:
        _, kwargs = made.calls[LAYER]
        h = x + tensor(attention(hidden_states=own.module.input_layernorm(x), **kwargs))
    return h if ffn is None else h + ffn(own.module.post_attention_layernorm(h))


def loss_of(made, modules, where, how="per_token"):
    """Loss of a pair on training or held-out text, by its definition."""
    wanted, o = where.after[:], output(made, modules, where)
    error, norm = (wanted - o).square().sum(-1), wanted.square().sum(-1)
    return float((error / norm).mean() if how == "per_token" else error.sum() / norm.sum())


@pytest.mark.parametrize("pair", PAIRS)
def test_losses_are_of_the_whole_block_and_never_rise(couple, setting, variants, pair):
    model, directory = setting
    made, modules, record = couple(pair)
    before = child.subblocks(model, variants, [directory], LAYER, pair)
    assert record["decoupled"]["per_token"] == pytest.approx(loss_of(made, before, made.valid), rel=1e-5)
    kept = record[record["kept"]]["per_token"]
    assert kept == pytest.approx(loss_of(made, modules, made.valid), rel=1e-5)
    assert kept <= record["decoupled"]["per_token"]
    assert record["parameters"] == sum(
        p.numel() for module in modules if module is not None for p in module.parameters()
    )
    assert record["training"]["tokens"] == list(range(64, 641, 64))


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "mask"])
@pytest.mark.parametrize("how", ["per_token", "scalar"])
@pytest.mark.parametrize("pair", PAIRS)
def test_the_refit_is_the_best_last_map_for_the_child_s_own_state(couple, pair, how, mask):
    """The normal equations: the gradient of the training loss by the last map vanishes."""
    made, modules, _ = couple(pair, loss=how, distillation=OPTIMISER | {"tokens": 0}, mask=mask)
    linear, moments = made.last(*modules)
    initialise.fit(linear, moments, 1e-6, linear.weight.T.double())  # also where it was taken back
    weight = linear.weight.requires_grad_(True)

    def gradient():
        error, norm = distill.errors(made.train.after[:], output(made, modules, made.train), made.train.mask)
        value = (error / norm).mean() if how == "per_token" else error.sum() / norm.sum()
        return torch.autograd.grad(value, weight)[0].norm()

    at = gradient()
    with torch.no_grad():
        weight += 0.01 * weight.norm() / weight.numel() ** 0.5 * torch.randn(weight.shape, generator=generator("step"))
    assert at < 1e-2 * gradient()


def test_retraining_the_ffn_for_dropped_attention_lowers_the_loss(couple):
    _, (attention, ffn), record = couple("no_op+parent")
    assert attention is None
    assert record["refitted"]["per_token"] < 0.9 * record["decoupled"]["per_token"]
    assert record["trained"]["per_token"] < record["refitted"]["per_token"] and record["kept"] == "trained"
    assert ffn.down_proj.weight.requires_grad is False


def test_the_parent_is_left_as_it_is(couple, setting, parent):
    for pair in PAIRS[:4]:
        couple(pair)
    wanted = loading.load(parent()).state()
    assert all(torch.equal(value, wanted[name]) for name, value in setting[0].state().items())


def test_what_does_harm_is_taken_back(couple, setting, variants):
    model, directory = setting
    harm = OPTIMISER | {"learning_rate": 3.0}
    made, modules, record = couple("linear+ffn25", distillation=harm)
    assert record["trained"]["per_token"] > record[record["kept"]]["per_token"] and record["kept"] != "trained"
    assert loss_of(made, modules, made.valid) == pytest.approx(record[record["kept"]]["per_token"], rel=1e-5)
    # So strong a ridge that the refit changes nothing at all.
    _, modules, record = couple("linear+ffn25", ridges=[1e12], distillation=harm)
    assert record["kept"] == "decoupled"
    before = child.subblocks(model, variants, [directory], LAYER, "linear+ffn25")
    for mine, theirs in zip(modules, before, strict=True):
        assert all(torch.equal(mine.state_dict()[key], value) for key, value in theirs.state_dict().items())


def test_the_best_ridge_is_kept(couple):
    """Whatever their order; a ridge that is far too strong leaves the decoupled weights."""
    untrained = OPTIMISER | {"tokens": 0}
    alone = {r: couple("no_op+ffn50", ridges=[r], distillation=untrained)[2]["refitted"] for r in (1e-6, 1e-2, 1e9)}
    least = min(alone, key=lambda ridge: alone[ridge]["per_token"])
    for ridges in ([1e-6, 1e-2, 1e9], [1e9, 1e-2, 1e-6]):
        made, modules, record = couple("no_op+ffn50", ridges=ridges, distillation=untrained)
        assert record["ridge"] == least and record["refitted"] == alone[least] and record["kept"] == "refitted"
        assert loss_of(made, modules, made.valid) == pytest.approx(alone[least]["per_token"], rel=1e-5)


def test_two_no_ops_have_nothing_to_train(couple):
    with pytest.raises(ValueError, match="a pair of two no-ops has nothing to train"):
        couple("no_op+no_op")


def test_no_tokens_train_nothing(couple):
    _, _, record = couple("no_op+parent", distillation=OPTIMISER | {"tokens": 0})
    assert "trained" not in record and record["kept"] == "refitted"


def test_same_seed_same_record(couple):
    assert couple("linear+ffn50")[2] == couple("linear+ffn50")[2]


@pytest.mark.parametrize("name", ["llama_biases", "qwen3", "gemma3"])
def test_other_parents(parent, variants, name, tmp_path):
    model = loading.load(parent(name)).requires_grad_(False)
    attention, ffn = (model.layer(LAYER).subblock(place) for place in ("attention", "ffn"))
    made = builder(model, variants, tmp_path)
    both = {"no_op+parent": (None, copy.deepcopy(ffn)), "parent+no_op": (copy.deepcopy(attention), None)}
    for pair, modules in both.items():
        record = made.couple(pair, modules, [1e-6])
        assert record[record["kept"]]["per_token"] < record["decoupled"]["per_token"]
        assert ("refitted" in record) == (name != "gemma3")  # behind a norm there is no refit in closed form


@pytest.mark.parametrize(
    ("pair", "can"),
    [
        ("parent+parent", False),
        ("parent+ffn50", False),
        ("no_op+no_op", False),
        ("no_op+parent", True),
        ("linear+no_op", True),
        ("kv1+ffn50", True),
    ],
)
def test_what_can_be_coupled(variants, pair, can):
    assert pairs.can_be_coupled(pair, variants) is can


def test_a_child_of_coupled_blocks(setting, variants, parent, library, tmp_path):
    from tessera.common import files

    model, directory = setting
    pair, made = "no_op+parent", builder(model, variants, tmp_path)
    modules = child.subblocks(model, variants, [directory], LAYER, pair)
    made.couple(pair, modules, [1e-6])
    files.save_tensors(tmp_path / f"layer_{LAYER}.safetensors", pairs.tensors(pair, modules))
    choice = ["kv1+ffn50", pair + MARK, "parent+parent"]
    found = pairs.assemble(model, variants, library(), [tmp_path], choice)
    plain = child.assemble(model, variants, library(), [pairs.plain(block) for block in choice])
    up = found.layer(LAYER).subblock("ffn").up_proj.weight
    assert getattr(found.config, BLOCKS)[LAYER] == getattr(plain.config, BLOCKS)[LAYER] | {"ffn": {"kind": "own"}}
    assert torch.equal(up, modules[1].up_proj.weight)
    assert not torch.equal(up, model.layer(LAYER).subblock("ffn").up_proj.weight)
    for layer in (0, 2):
        mine, theirs = found.module(layer).state_dict(), plain.module(layer).state_dict()
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    child.save(found, parent(), tmp_path / "child")
    torch.testing.assert_close(child.load(tmp_path / "child")(TEXT[:2]), found(TEXT[:2]))
    other = Space.model_validate({"attention": {}, "ffn": {}})
    with pytest.raises(ValueError, match=r"layer 1: attention variant 'no_op' is not one of parent"):
        pairs.subblocks(model, other, [tmp_path], LAYER, pair)
    with pytest.raises(ValueError, match=r"linear\+ffn50/attention does not fit"):
        pairs.subblocks(model, variants, [tmp_path], LAYER, "linear+ffn50")
