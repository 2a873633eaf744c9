"""Variants in types, and the program that chooses structure and bits."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tessera.puzzle import child
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.costs.tables import of_target
from tessera.puzzle.models import architecture as architectures
from tessera.puzzle.models import loading
from tessera.puzzle.search import block_library
from tessera.puzzle.serve import gguf_export, gguf_tokenizer
from tessera.puzzle.serve.gguf_values import kind_of, rounded
from tessera.puzzle.studies.bits import program, typed

TYPES = ("q8_0", "q4_0")
WORKLOAD = {"batch": 1, "prefill": 16, "decode": 16}


@given(st.sampled_from(["q8_0", "q5_0", "q4_0", "mxfp4"]), st.integers(0, 99))
def test_rounding_is_that_of_a_file_and_idempotent_but_for_ties(dtype, seed):
    value = torch.randn(6, 64, generator=torch.Generator().manual_seed(seed))
    once = rounded(value, dtype)
    bits = {"q8_0": 8, "q5_0": 5, "q4_0": 4, "mxfp4": 3}[dtype]
    largest = value.view(6, 2, 32).abs().amax(-1, keepdim=True)
    step = largest / 2 ** (bits - 1) * (2 if dtype == "mxfp4" else 1)
    assert ((once - value).view(6, 2, 32).abs() <= 1.01 * step).all()
    assert once.shape == value.shape and len(once.unique()) < len(value.unique())


def test_vectors_and_odd_rows_are_not_of_blocks():
    assert kind_of(torch.zeros(64), "q4_0").name == "F32"
    assert kind_of(torch.zeros(2, 48), "q4_0").name == "F16"
    assert torch.equal(rounded(torch.linspace(-1, 1, 64), "q4_0"), torch.linspace(-1, 1, 64))


def test_names():
    assert typed.name("kv1", "q4_0") == "kv1@q4_0" and typed.split("kv1@q4_0") == ("kv1", "q4_0")
    assert typed.split("no_op") == ("no_op", None)
    assert typed.untyped("kv1@q4_0+no_op") == "kv1+no_op"


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_file_of_types_holds_the_rounded_child(parent, library, variants, tmp_path, family):
    """The GGUF file's values are those by which KL is measured."""
    blocks = ["kv1@q4_0+ffn50@q8_0", "no_op+linear@q4_0", "linear@q8_0+parent@q4_0"]
    one = child.assemble(loading.load(parent(family)), variants, library(family), [typed.untyped(b) for b in blocks])
    types = typed.gguf_types(one, blocks, "q8_0")
    tokenizer = gguf_tokenizer.unread(one.config.vocab_size)
    gguf_export.write(one, tmp_path / "child.gguf", tokenizer, types)
    assert gguf_export.verify(tmp_path / "child.gguf", one, tokenizer, types)["types"].keys() == {"Q8_0", "Q4_0", "F16"}
    from gguf import GGUFReader
    from gguf.quants import dequantize

    there = {t.name: dequantize(t.data, t.tensor_type) for t in GGUFReader(tmp_path / "child.gguf").tensors}
    typed.round_child(one, blocks, "q8_0")
    from tessera.puzzle.serve.gguf_tensors import tensors

    for name, value in tensors(one).items():
        assert torch.allclose(torch.from_numpy(there[name].copy()).view(value.shape), value, atol=1e-7), name


@pytest.fixture(scope="module")
def made(parent, variants):
    """A library of typed variants, with made-up scores: rounding costs what it saves."""
    architecture = architectures.read(parent())
    tables = {}
    for dtype in TYPES:
        target = {"source": "roofline", "hardware": "h100-sxm", "dtype": "bfloat16", "workload": WORKLOAD}
        table = of_target(architecture, variants, CostTarget.model_validate(target))
        share = {"q8_0": 1.0, "q4_0": 0.6}[dtype]
        tables[dtype] = table.assign(runtime_ms=table.runtime_ms * share, parameters_mib=table.parameters_mib * share)
    damage = {"parent": 0.0, "kv1": 0.1, "linear": 0.4, "no_op": 0.6, "ffn50": 0.2, "ffn25": 0.5}
    rounding = {"q8_0": 0.001, "q4_0": 0.03}

    def scores(names, layer):
        found = {"no_op": {"kl_div": damage["no_op"] * (1 + layer)}}
        for name in names:
            for dtype in TYPES:
                kl = damage[name] * (1 + layer) + rounding[dtype] * (3 - layer)
                found[typed.name(name, dtype)] = {"kl_div": kl}
        return found

    layers = [
        {
            "attention": {"parent": {"kl_div": 0.0}} | scores(("parent", "kv1", "linear"), i),
            "ffn": scores(("parent", "ffn50", "ffn25", "linear"), i),
        }
        for i in range(3)
    ]
    outside = {"q8_0": {"kl_div": 0.002}, "q4_0": {"kl_div": 0.05}}
    return program.library(layers, outside, tables)


def test_the_library_has_every_type_and_the_outside_as_a_layer(made):
    whole, root = made
    assert list(whole) == ["layer_0", "layer_1", "layer_2", "layer_3"]
    assert len(whole["layer_0"]) == (3 * 2 + 1) * (4 * 2 + 1) and set(whole["layer_3"]) == {
        "outside@q8_0",
        "outside@q4_0",
    }
    entry = whole["layer_1"]["kv1@q4_0+parent@q8_0"]
    assert entry["metrics"]["kl_div"] == pytest.approx(0.2 + 0.03 * 2 + 0.001 * 2)
    assert entry["metrics"][root.partition(".")[2]] == pytest.approx(math.sqrt(0.2 + 0.06))
    exact = program.parent(whole, "q8_0")
    light = program.parent(whole, "q4_0")
    for key in (program.RUNTIME, program.SIZE):
        ratio = block_library.total(whole, light, key) / block_library.total(whole, exact, key)
        assert ratio == pytest.approx(0.6)


@pytest.mark.parametrize("key", [program.RUNTIME, program.SIZE])
@pytest.mark.parametrize("share", [0.9, 0.7, 0.5])
def test_both_at_once_are_never_predicted_worse_than_either(made, key, share):
    whole, root = made
    limit = share * block_library.total(whole, program.parent(whole, "q8_0"), key)
    found = program.solve(whole, root, 0.1, TYPES, {key: limit})
    joint = found["joint"]
    assert joint.status == "optimal" and joint.costs[key] <= limit * (1 + 1e-9)
    for method in ("structure", "bits"):
        assert found[method].value is None or joint.value <= found[method].value * (1 + 1e-6)
    parts = [typed.split(p) for b in list(found["bits"].choice.values())[:3] for p in b.split("+")]
    assert {variant for variant, _ in parts} <= {"parent"}
    kinds = {typed.split(p)[1] for b in found["structure"].choice.values() for p in b.split("+")} - {None}
    assert len(kinds) == 1
    if share == 0.5:
        assert found["bits"].value is None
