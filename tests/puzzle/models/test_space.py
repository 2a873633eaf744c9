"""The search space."""

import pytest
from pydantic import ValidationError

from tessera.puzzle.models import architecture
from tessera.puzzle.models.space import FFN, PARENT, Attention, Space, compose, decompose


def test_parent_is_always_first(variants):
    assert next(iter(variants.attentions())) == PARENT == next(iter(variants.ffns()))
    assert Space(attention={}, ffn={}).attentions() == {PARENT: Attention(kind="gqa")}


def test_null_takes_a_variant_away():
    space = Space.model_validate({"attention": {"a": None, "b": {"kind": "no_op"}}, "ffn": {"c": None}})
    assert list(space.attention) == ["b"] and not space.ffn


@pytest.mark.parametrize("name", ["parent", "", "a+b", "a/b", "a b", "a=b"])
def test_names_that_would_be_ambiguous_are_refused(name):
    with pytest.raises(ValidationError, match="a name must not be"):
        Space.model_validate({"attention": {name: {"kind": "no_op"}}, "ffn": {}})


@pytest.mark.parametrize(
    "variant",
    [
        {"kind": "linear", "kv_heads": 1},
        {"kind": "gqa", "kv_heads": 0},
        {"kind": "mamba"},
        {"kind": "no_op", "heads": 1},
    ],
)
def test_impossible_attention_is_refused(variant):
    with pytest.raises(ValidationError):
        Attention.model_validate(variant)


@pytest.mark.parametrize(
    "variant", [{"kind": "gated", "width": 0}, {"kind": "gated", "width": 1.5}, {"kind": "no_op", "width": 0.5}]
)
def test_impossible_ffn_is_refused(variant):
    with pytest.raises(ValidationError):
        FFN.model_validate(variant)


def test_merged_kv_heads_must_divide_the_parents(parent, variants):
    a = architecture.read(parent("llama_ungrouped"))
    variants.check(a)
    with pytest.raises(
        ValueError, match=r"attention\.three: kv_heads is 3; for this parent, expected one of \[1, 2, 4\]"
    ):
        Space(attention={"three": Attention(kind="gqa", kv_heads=3)}, ffn={}).check(a)
    Space(attention={"three": Attention(kind="gqa", kv_heads=3, reduction="drop")}, ffn={}).check(a)
    with pytest.raises(ValueError, match=r"kv_heads is 5; for this parent, expected one of \[1, 2, 3, 4\]"):
        Space(attention={"five": Attention(kind="gqa", kv_heads=5, reduction="drop")}, ffn={}).check(a)


def test_block_names():
    assert decompose(compose("kv1", "no_op")) == ("kv1", "no_op")
    for bad in ("kv1", "kv1+", "+no_op", ""):
        with pytest.raises(ValueError, match="expected ATTENTION"):
            decompose(bad)


def test_narrowest_ffn_has_one_channel(parent):
    assert FFN(kind="gated", width=0.001).intermediate_size(architecture.read(parent())) == 1
