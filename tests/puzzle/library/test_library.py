"""The block library of one layer."""

import weakref

import pytest
import tiny_models
import torch
from small_library_params import PARAMS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tessera.puzzle.library import activations
from tessera.puzzle.library.activations import StoredStates, store
from tessera.puzzle.library.build import LayerLibrary
from tessera.puzzle.models import architecture, loading
from tessera.puzzle.models.memory import library_bytes
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import BATCH, LibraryParams
from tessera.puzzle.scores.replace_one import hidden_states


@pytest.fixture
def build(parent, variants, tmp_path_factory):
    """Build the library of one layer with parameters that differ from PARAMS."""

    def call(name="llama", space=variants, layer=1, seed=0, mask=None, tail=1, **changes):
        model = loading.load(parent(name)).requires_grad_(False)
        text = torch.randint(1, 64, (28, 16), generator=torch.Generator().manual_seed(0))
        states = hidden_states(model, text)[0][layer]
        states[:, 12:] *= tail
        return LayerLibrary(
            model,
            layer,
            space,
            LibraryParams.model_validate(PARAMS | changes),
            states[:24],
            states[24:],
            lambda name: torch.Generator().manual_seed(seed + len(name)),
            tmp_path_factory.mktemp("scratch"),
            (None, None) if mask is None else (mask[:24], mask[24:]),
        ).build()

    return call


@pytest.mark.parametrize(("name", "loss"), [("llama", "per_token"), ("llama", "scalar"), ("gemma3", "per_token")])
def test_tokens_that_do_not_count_are_context_alone(build, name, loss):
    """What is behind the last token that counts has no part in any variant; a mask of all is none."""
    mask = torch.arange(16).expand(28, 16) % 3 == 1
    mask[:, 12:] = False
    (tensors, records), (others, again) = (build(name, mask=mask, tail=tail, loss=loss) for tail in (1, -2))
    for key, value in tensors.items():
        torch.testing.assert_close(value, others[key], rtol=1e-3, atol=1e-5)
    for key, record in records.items():
        assert again[key]["paper"] == pytest.approx(record["paper"], rel=1e-4)
    plain, whole = build(name, loss=loss), build(name, mask=torch.ones_like(mask), loss=loss)
    assert plain[1] == whole[1] and all(torch.equal(value, whole[0][key]) for key, value in plain[0].items())
    assert plain[1]["ffn.linear"]["paper"] != records["ffn.linear"]["paper"]


def test_every_variant_has_tensors_and_losses(build, variants):
    tensors, records = build()
    names = [f"attention.{n}" for n in variants.attention] + [f"ffn.{n}" for n in variants.ffn]
    assert sorted(records) == sorted(names)
    assert {key.partition("/")[0] for key in tensors} == {n for n in names if not n.endswith("no_op")}
    for name, record in records.items():
        count = sum(t.numel() for key, t in tensors.items() if key.startswith(f"{name}/"))
        assert record["parameters"] == count
        assert record["paper"]["per_token"] > 0
        assert ("least_squares" in record) == (count > 0)
    assert tensors["ffn.ffn50/down_proj.weight"].shape == (32, 24)
    assert tensors["attention.kv1/k_proj.weight"].shape == (8, 32)


def test_losses_fall_from_rule_to_least_squares_to_distillation(build):
    _, records = build()
    for name in ("ffn.ffn50", "ffn.ffn25", "ffn.linear"):
        assert records[name]["least_squares"]["per_token"] < records[name]["paper"]["per_token"]
    assert records["ffn.ffn50"]["kept"] == "distilled"
    assert records["ffn.ffn50"]["distilled"]["per_token"] < records["ffn.ffn50"]["least_squares"]["per_token"]
    assert records["ffn.ffn50"]["training"]["tokens"] == list(range(64, 641, 64))


@pytest.mark.parametrize("factor", [1.0, 0.22])
def test_what_is_scaled_behind_a_subblock_is_fitted_as_it_is_returned(tmp_path, factor):
    """Where all KV heads are alike, one is as good, and is fitted to the parent's own map, whatever the factor."""
    network = tiny_models.network("granite", residual_multiplier=factor)
    attention, heads = network.model.layers[1].self_attn, network.config.num_key_value_heads
    with torch.no_grad():
        for projection in (attention.k_proj, attention.v_proj):
            size = projection.out_features // heads
            projection.weight.copy_(projection.weight[:size].repeat(heads, 1))
    network.save_pretrained(tmp_path / "parent")
    model = loading.load(tmp_path / "parent").requires_grad_(False)
    states = hidden_states(model, torch.randint(1, 60, (28, 16), generator=torch.Generator().manual_seed(0)))[0][1]
    space = Space.model_validate({"attention": {"kv1": {"kind": "gqa", "kv_heads": 1}}, "ffn": {}})
    params = LibraryParams.model_validate(PARAMS | {"distillation": PARAMS["distillation"] | {"tokens": 0}})
    generators = torch.Generator()
    library = LayerLibrary(model, 1, space, params, states[:24], states[24:], lambda _: generators, tmp_path)
    tensors, records = library.build()
    assert records["attention.kv1"]["least_squares"]["per_token"] < 1e-5
    torch.testing.assert_close(tensors["attention.kv1/o_proj.weight"], attention.o_proj.weight, rtol=0.05, atol=0.02)


def test_ridges_are_chosen_on_text_of_their_own(build):
    none = {"tokens": 0, "batch_windows": 4, "learning_rate": 1.0}
    plain, _ = build(distillation=none)
    tensors, records = build(distillation=none, ridges=(1e-6, 1e-2, 1.0))
    fits = {name: record["fit"] for name, record in records.items() if "fit" in record}
    assert fits.keys() == {"attention.kv1", "attention.linear", "ffn.ffn50", "ffn.ffn25", "ffn.linear"}
    assert {fit["ridge"] for fit in fits.values()} <= {1e-6, 1e-2, 1.0}
    # Of one ridge around 0, on all of the text, it is the fit of before; the channels are the same in any case.
    for name, fit in fits.items():
        key = next(
            key
            for key in tensors
            if key.startswith(name) and key.endswith(("o_proj.weight", "linear.weight", "down_proj.weight"))
        )
        same = torch.allclose(tensors[key], plain[key], rtol=1e-5, atol=1e-6)
        assert same == (fit == {"ridge": 1e-6, "around_weights": False})
    assert any(fit["around_weights"] or fit["ridge"] > 1e-6 for fit in fits.values())
    assert torch.equal(tensors["ffn.ffn50/up_proj.weight"], plain["ffn.ffn50/up_proj.weight"])


def test_linear_ffn_of_least_squares_is_not_distilled(build):
    _, records = build()
    assert "distilled" not in records["ffn.linear"]
    _, records = build(initialisation="paper")
    assert "distilled" in records["ffn.linear"] and "least_squares" not in records["ffn.linear"]


def test_distillation_that_does_harm_is_taken_back(build):
    harm = {"tokens": 640, "batch_windows": 4, "learning_rate": 3.0}
    tensors, records = build(distillation=harm)
    untrained, _ = build(distillation=harm | {"tokens": 0})
    assert records["ffn.ffn50"]["kept"] == "initial"
    taken_back = [n for n, r in records.items() if r.get("kept") == "initial"]
    for key, value in tensors.items():
        if key.partition("/")[0] in taken_back:
            assert torch.equal(value, untrained[key])


def test_same_seed_same_tensors(build):
    (first, losses), (second, again), (other, _) = build(), build(), build(seed=9)
    assert losses == again
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["ffn.ffn50/up_proj.weight"], other["ffn.ffn50/up_proj.weight"])


@pytest.mark.parametrize("selection", ["contribution", "reconstruction"])
@pytest.mark.parametrize("loss", ["per_token", "scalar"])
@pytest.mark.parametrize("name", ["llama_biases", "qwen3"])
def test_every_setting(build, name, selection, loss):
    tensors, records = build(name, selection=selection, loss=loss, distillation=PARAMS["distillation"] | {"tokens": 64})
    assert all(torch.isfinite(t).all() for t in tensors.values())
    assert records["ffn.linear"]["least_squares"][loss] < records["ffn.linear"]["paper"][loss]


@pytest.mark.parametrize(
    "space",
    [
        {"attention": {}, "ffn": {}},
        {"attention": {"no_op": {"kind": "no_op"}}, "ffn": {}},
        {"attention": {}, "ffn": {"linear": {"kind": "linear"}, "no_op": {"kind": "no_op"}}},
        {"attention": {}, "ffn": {"whole": {"kind": "gated"}}},
    ],
)
def test_spaces_without_some_kind(build, space):
    _, records = build(space=Space.model_validate(space), distillation=PARAMS["distillation"] | {"tokens": 0})
    assert sorted(records) == sorted(f"{s}.{n}" for s in space for n in space[s])
    if "ffn.whole" in records:
        assert records["ffn.whole"]["paper"]["per_token"] < 1e-10
        assert records["ffn.whole"]["least_squares"]["per_token"] < 1e-6


def test_no_text_is_a_clear_error(parent, variants, tmp_path):
    model, none = loading.load(parent()), torch.empty(0, 16, 32)
    params = LibraryParams.model_validate(PARAMS)
    with pytest.raises(ValueError, match=r"calibration\.tokens holds no whole window"):
        LayerLibrary(model, 1, variants, params, none, none, lambda _: torch.Generator(), tmp_path)


class _Memory(TorchDispatchMode):
    """Follows what operations make: bytes of the largest storage, and of all that lived at once."""

    def __init__(self):
        super().__init__()
        self.largest = self.alive = self.peak = 0
        self.seen = weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor) and one.untyped_storage() not in self.seen:
                storage = one.untyped_storage()
                self.seen.add(storage)
                self.alive += storage.nbytes()
                weakref.finalize(storage, self._free, storage.nbytes())
                self.largest, self.peak = max(self.largest, storage.nbytes()), max(self.peak, self.alive)
        return made

    def _free(self, size):
        self.alive -= size


@pytest.fixture
def streamed(parent, variants, tmp_path_factory):
    """Build a layer's library, from files or from memory; with the memory that it took and the windows that it read."""

    def call(windows, in_files=True, **changes):
        model, scratch = loading.load(parent()).requires_grad_(False), tmp_path_factory.mktemp("scratch")
        text = torch.randint(1, 64, (windows, 16), generator=torch.Generator().manual_seed(0))
        states, read = hidden_states(model, text)[0][1], []

        class Recorded(StoredStates):
            def __getitem__(self, chosen):
                found = super().__getitem__(chosen)
                read.append(len(found))
                return found

        def place(name, part):
            return Recorded(store(scratch / f"{name}.npy", part.shape, [part]).paths) if in_files else part

        train, valid = place("train", states[4:]), place("valid", states[:4])
        with pytest.MonkeyPatch.context() as patch, _Memory() as memory:
            if in_files:
                patch.setattr(activations, "StoredStates", Recorded)
            else:
                patch.setattr(activations, "store", lambda path, shape, parts: torch.cat(list(parts)))
            tensors, records = LayerLibrary(
                model,
                1,
                variants,
                LibraryParams.model_validate(PARAMS | changes),
                train,
                valid,
                lambda name: torch.Generator().manual_seed(len(name)),
                scratch,
            ).build()
        return tensors, records, memory, read

    return call


def test_memory_does_not_grow_with_the_text(streamed):
    *_, few, few_read = streamed(4 + 2 * BATCH)
    *_, many, many_read = streamed(4 + 12 * BATCH)
    assert max(few_read) == max(many_read) == BATCH
    assert sum(many_read) > 2 * sum(few_read)
    assert few.largest == many.largest and few.peak == many.peak


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"initialisation": "paper", "selection": "contribution"},
        {"distillation": {"tokens": 512, "batch_windows": 16, "learning_rate": 1e-3}},
    ],
)
def test_memory_is_within_the_bound(streamed, parent, variants, changes):
    params, shape = LibraryParams.model_validate(PARAMS | changes), architecture.read(parent())
    *_, memory, _ = streamed(4 + 3 * BATCH, **changes)
    bound = sum(library_bytes(shape, variants, params, 16).values())
    assert bound / 3 < memory.peak < bound


def test_states_in_files_give_the_numbers_of_states_in_memory(streamed):
    (tensors, records, *_), (expected, losses, *_) = streamed(28), streamed(28, in_files=False)
    assert records == losses
    assert tensors.keys() == expected.keys() and all(torch.equal(tensors[key], expected[key]) for key in expected)
