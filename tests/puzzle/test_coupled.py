"""Pairs of variants trained together, and the second search."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_library_params import PARAMS

from tessera.common.params import check
from tessera.puzzle import architecture as architectures
from tessera.puzzle import block_library, blocks, budgets, child, coupled, distill, initialise, search
from tessera.puzzle.coupled import MARK, Coupling
from tessera.puzzle.coupled_params import CoupledParams
from tessera.puzzle.library import LayerLibrary
from tessera.puzzle.params import LibraryParams
from tessera.puzzle.score import hidden_states
from tessera.puzzle.space import PARENT, Space, compose

LAYER = 1
TEXT = torch.randint(1, 64, (28, 16), generator=torch.Generator().manual_seed(0))
OPTIMISER = {"tokens": 640, "batch_windows": 4, "learning_rate": 2e-3}
STUDY = {
    "jobs": 1,
    "speedups": [1.5],
    "diverse": 1,
    "min_difference": 1,
    "ridges": [1e-6, 1.0],
    "distillation": OPTIMISER,
    "windows": 2,
    "healing": OPTIMISER,
}
PAIRS = ["no_op+parent", "no_op+ffn50", "no_op+linear", "linear+parent", "linear+ffn25", "kv1+linear", "linear+no_op"]


def generator(name):
    return torch.Generator().manual_seed(len(name))


@pytest.fixture(scope="module")
def setting(parent, variants, tmp_path_factory):
    """A parent, its architecture, and the directory of a decoupled library of LAYER."""
    from tessera.common import files

    model, shape = blocks.load(parent()).requires_grad_(False), architectures.read(parent())
    directory = tmp_path_factory.mktemp("library")
    files.save_tensors(
        directory / f"layer_{LAYER}.safetensors", builder(model, shape, variants, LayerLibrary).build()[0]
    )
    return model, shape, directory


def builder(model, shape, space, kind=Coupling, **changes):
    states = hidden_states(model, TEXT)[0][LAYER]
    params = LibraryParams.model_validate(PARAMS | changes)
    return kind(model, LAYER, shape, space, params, states[:24], states[24:], generator)


@pytest.fixture
def couple(setting, variants):
    """Couple one pair with changes of the library's parameters: the coupling, its modules and the record."""

    def call(pair, ridges=(1e-6, 1e-2), **changes):
        model, shape, directory = setting
        made = builder(model, shape, variants, **changes)
        modules = child.subblocks(model, shape, variants, [directory], LAYER, pair)
        return made, modules, made.couple(pair, modules, ridges)

    return call


def loss_of(made, modules, where, how="per_token"):
    """Loss of a pair on training or held-out text, by its definition."""
    (attention, ffn), own = modules, made.layer
    x = where.before
    h = x if attention is None else x + attention(own.input_layernorm(x), made.rotary)
    o = h if ffn is None else h + ffn(own.post_attention_layernorm(h))
    error, norm = (where.after - o).square().sum(-1), where.after.square().sum(-1)
    return float((error / norm).mean() if how == "per_token" else error.sum() / norm.sum())


@pytest.mark.parametrize("pair", PAIRS)
def test_losses_are_of_the_whole_block_and_never_rise(couple, setting, variants, pair):
    model, shape, directory = setting
    made, modules, record = couple(pair)
    before = child.subblocks(model, shape, variants, [directory], LAYER, pair)
    assert record["decoupled"]["per_token"] == pytest.approx(loss_of(made, before, made.valid), rel=1e-5)
    kept = record[record["kept"]]["per_token"]
    assert kept == pytest.approx(loss_of(made, modules, made.valid), rel=1e-5)
    assert kept <= record["decoupled"]["per_token"]
    assert record["parameters"] == sum(
        p.numel() for module in modules if module is not None for p in module.parameters()
    )
    assert record["training"]["tokens"] == list(range(64, 641, 64))


@pytest.mark.parametrize("how", ["per_token", "scalar"])
@pytest.mark.parametrize("pair", PAIRS)
def test_the_refit_is_the_best_last_map_for_the_child_s_own_state(couple, pair, how):
    """The normal equations: the gradient of the training loss by the last map vanishes."""
    made, modules, _ = couple(pair, loss=how, distillation=OPTIMISER | {"tokens": 0})
    linear, moments = made.last(*modules)
    initialise.fit(linear, moments, 1e-6, linear.weight)  # also where it was taken back
    weight = linear.weight.requires_grad_(True)

    def gradient():
        x, own = made.train.before, made.layer
        h = x if modules[0] is None else x + modules[0](own.input_layernorm(x), made.rotary)
        o = h if modules[1] is None else h + modules[1](own.post_attention_layernorm(h))
        error, norm = distill.errors(made.train.after, o)
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
    wanted = blocks.load(parent()).state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in setting[0].state_dict().items())


def test_what_does_harm_is_taken_back(couple, setting, variants):
    model, shape, directory = setting
    harm = OPTIMISER | {"learning_rate": 3.0}
    made, modules, record = couple("linear+ffn25", distillation=harm)
    assert record["trained"]["per_token"] > record[record["kept"]]["per_token"] and record["kept"] != "trained"
    assert loss_of(made, modules, made.valid) == pytest.approx(record[record["kept"]]["per_token"], rel=1e-5)
    # So strong a ridge that the refit changes nothing at all.
    _, modules, record = couple("linear+ffn25", ridges=[1e12], distillation=harm)
    assert record["kept"] == "decoupled"
    before = child.subblocks(model, shape, variants, [directory], LAYER, "linear+ffn25")
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


@pytest.mark.parametrize("name", ["llama_biases", "qwen3"])
def test_other_parents(parent, variants, name):
    model, shape = blocks.load(parent(name)).requires_grad_(False), architectures.read(parent(name))
    own = model.model.layers[LAYER]
    made = builder(model, shape, variants)
    modules = (None, copy.deepcopy(own.mlp))
    record = made.couple("no_op+parent", modules, [1e-6])
    assert record[record["kept"]]["per_token"] < record["decoupled"]["per_token"]
    record = made.couple("parent+no_op", (copy.deepcopy(own.self_attn), None), [1e-6])
    assert record[record["kept"]]["per_token"] < record["decoupled"]["per_token"]


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
    assert coupled.can_be_coupled(pair, variants) is can


def first(scores, times, ffns=("parent", "ffn50", "no_op"), attentions=("parent", "linear", "no_op")):
    """A block library of all pairs, from scores and times (layers, pairs)."""
    pairs = [compose(a, f) for a in attentions for f in ffns]
    return {
        f"layer_{i}": {
            pair: {"stats": {"runtime_ms": t}, "metrics": {"kl_div": s}}
            for pair, s, t in zip(pairs, own_scores, own_times, strict=True)
        }
        for i, (own_scores, own_times) in enumerate(zip(scores, times, strict=True))
    }


def case(seed):
    """A library in which the parents cost most, and scores of some of its pairs as whole blocks, of both kinds."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 5))
    scores, times = random.uniform(0, 10, (2, count, 9)).round(4)
    scores[:, 0], times[:, 0] = 0, 12
    library, measured = first(scores.tolist(), times.tolist()), {}
    for layer in range(count):
        for pair in random.choice([*library["layer_0"]][3:], int(random.integers(0, 4)), replace=False):
            for block in (str(pair), str(pair) + MARK):
                measured.setdefault(layer, {})[block] = {"kl_div": float(random.uniform(0, 10))}
    return library, measured


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.01, 1.2, 2.0, 50.0]))
def test_the_second_search_is_never_worse_on_the_same_scores(seed, speedup):
    library, measured = case(seed)
    both = coupled.extended(library, measured)
    try:
        rows = coupled.second_search(library, both, "metrics.kl_div", "here", speedup)
    except ValueError:
        limits = {budgets.RUNTIME: budgets.runtime_for_speedup(library, speedup)}
        assert search.solve(library, "metrics.kl_div", limits).status == "infeasible"
        return
    by = {row["method"]: row for row in rows}
    assert list(by) == ["decoupled", "coupled", "searched"]
    least = min(by["decoupled"]["promised"], by["coupled"]["promised"])
    assert by["searched"]["promised"] <= least + 1e-9
    assert [coupled.plain(block) for block in by["coupled"]["blocks"]] == by["decoupled"]["blocks"]
    for row in rows:
        assert row["runtime_ms"] <= row["budget_ms"] * (1 + 1e-9)
        names = zip(block_library.layers(library), row["blocks"], strict=True)
        assert row["promised"] == pytest.approx(sum(both[layer][block]["metrics"]["kl_div"] for layer, block in names))


def test_an_extension_keeps_the_library_and_costs():
    library = first([[0.0, *range(1, 9)]], [[9.0, *range(1, 9)]])
    both = coupled.extended(library, {0: {"linear+ffn50": {"kl_div": 0.7}, "linear+ffn50" + MARK: {"kl_div": 0.5}}})
    assert both["layer_0"]["linear+ffn50" + MARK]["stats"] == library["layer_0"]["linear+ffn50"]["stats"]
    assert both["layer_0"]["linear+ffn50"]["metrics"]["kl_div"] == 0.7
    assert library["layer_0"]["linear+ffn50"]["metrics"]["kl_div"] == 4
    others = [pair for pair in library["layer_0"] if pair != "linear+ffn50"]
    assert all(both["layer_0"][pair] == library["layer_0"][pair] for pair in others)
    with pytest.raises(ValueError, match=r"layer_3: the block library has no 'linear\+ffn50'"):
        coupled.extended(library, {3: {"linear+ffn50": {"kl_div": 0.5}}})


def study(**changes):
    return check(CoupledParams, STUDY | changes)


def test_survivors_are_what_the_searches_chose(variants):
    scores = [[0.0, 1, 9, 2, 5, 9, 3, 9, 9], [0.0, 9, 9, 1, 9, 9, 9, 9, 9]]
    times = [[9.0, 5, 4, 3, 2, 1, 2, 1, 1], [9.0, 9, 9, 2, 9, 9, 9, 9, 9]]
    libraries = {"here": first(scores, times), "there": first(scores, [[9.0, 1, 1, 9, 9, 9, 9, 9, 9]] * 2)}
    rows = coupled.first_search(libraries, "metrics.kl_div", study(diverse=0))
    for row in rows:
        limit = budgets.runtime_for_speedup(libraries[row["target"]], row["speedup"])
        best = search.solve(libraries[row["target"]], "metrics.kl_div", {budgets.RUNTIME: limit})
        assert row["blocks"] == list(best.choice.values())
    chosen = {(i, block) for row in rows for i, block in enumerate(row["blocks"])}
    found = coupled.survivors(rows, variants)
    pairs = {(layer, pair) for layer, own in found.items() for pair in own}
    assert pairs == {(i, block) for i, block in chosen if not block.startswith(PARENT)} and pairs
    more = coupled.first_search(libraries, "metrics.kl_div", study(diverse=1))
    assert more[: len(rows)] == rows and len(more) > len(rows)
    assert coupled.survivors(more, variants).keys() >= found.keys()


def test_searches_without_children_or_pairs_are_refused(variants):
    slow = {"here": first([[0.0] * 9], [[9.0] * 9])}
    with pytest.raises(ValueError, match=r"coupled\.speedups has 1\.5: here has no child that is so fast"):
        coupled.first_search(slow, "metrics.kl_div", study())
    with pytest.raises(ValueError, match="exchanges an attention: there is nothing to train together"):
        coupled.survivors([{"blocks": ["parent+ffn50", "no_op+no_op"]}], variants)
    quick = {"here": first([[0.0] * 9], [[9.0] + [1.0] * 8])}
    with pytest.raises(ValueError, match=r"min_difference = 5; valid are 0 to 1 layers"):
        coupled.first_search(quick, "metrics.kl_div", study(min_difference=5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speedups": []}, "speedups"),
        ({"diverse": -1}, "diverse = -1"),
        ({"ridges": []}, "ridges"),
        ({"ridges": [1.0, 0.0]}, r"ridges\.1 = 0\.0"),
        ({"jobs": 0}, "jobs = 0"),
        ({"ridge": 1.0}, "ridge is no known key; did you mean 'ridges'"),
    ],
)
def test_bad_parameters_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        study(**changes)


def test_a_child_of_coupled_blocks(setting, variants, parent, library, tmp_path):
    from tessera.common import files

    model, shape, directory = setting
    pair, made = "no_op+parent", builder(model, shape, variants)
    modules = child.subblocks(model, shape, variants, [directory], LAYER, pair)
    made.couple(pair, modules, [1e-6])
    files.save_tensors(tmp_path / f"layer_{LAYER}.safetensors", coupled.tensors(pair, modules))
    choice = ["kv1+ffn50", pair + MARK, "parent+parent"]
    found = coupled.assemble(model, parent(), variants, library(), [tmp_path], choice)
    plain = child.assemble(model, parent(), variants, library(), [coupled.plain(block) for block in choice])
    assert found.model.layers[LAYER].self_attn is None
    assert torch.equal(found.model.layers[LAYER].mlp.up_proj.weight, modules[1].up_proj.weight)
    assert not torch.equal(found.model.layers[LAYER].mlp.up_proj.weight, model.model.layers[LAYER].mlp.up_proj.weight)
    for layer in (0, 2):
        mine, theirs = found.model.layers[layer].state_dict(), plain.model.layers[layer].state_dict()
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    child.save(found, parent(), tmp_path / "child")
    torch.testing.assert_close(child.load(tmp_path / "child")(TEXT[:2]), found(TEXT[:2]))
    other = Space.model_validate({"attention": {}, "ffn": {}})
    with pytest.raises(ValueError, match=r"layer 1: attention variant 'no_op' is not one of parent"):
        coupled.subblocks(model, shape, other, [tmp_path], LAYER, pair)
    with pytest.raises(ValueError, match=r"linear\+ffn50/attention does not fit"):
        coupled.subblocks(model, shape, variants, [tmp_path], LAYER, "linear+ffn50")
