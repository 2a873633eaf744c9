"""Spaces that a model can have, by the kinds of variants that its tests admit."""

from collections.abc import Iterator
from typing import Any

from tessera.puzzle.models import variants
from tessera.puzzle.models.admission import Admission, distinct_layers
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.space import Space

#: Variants that are searched if there is little time.
SMALL = ("kv1", "no_op", "ffn50", "experts50")


def spaces(
    model: LanguageModel, admitted: Admission, kv_heads: int, scored: int, window: int | None = None
) -> dict[str, dict[str, dict[str, Any]]]:
    """Two spaces as puzzle.space, `full` and `small`, whose variants are scored on text of so many tokens.

    window is that of attentions that shall be in them. Raises ValueError if the model can have no variant at all, or no
    such window.
    """
    if window is not None and "window" in admitted.failed:
        raise ValueError(f"--window {window}: this model can have no window: {admitted.failed['window']}")
    full: dict[str, dict[str, dict[str, Any]]] = {"attention": {}, "ffn": {}}
    for place, name, variant in _candidates(model, admitted, kv_heads, scored, window):
        try:
            others: dict[str, Any] = {"attention": {}, "ffn": {}}
            admitted.check(Space.model_validate(others | {place: {name: variant}}), model)
        except ValueError:  # not in every kind of its layers
            continue
        full[place][name] = variant
    if not full["attention"] and not full["ffn"]:
        raise ValueError(f"{type(model.network).__name__} can have no variant: {'; '.join(admitted.failed.values())}")
    few = (*SMALL, f"window{window}")
    small = {place: {n: v for n, v in named.items() if n in few} for place, named in full.items()}
    return {"full": full, "small": small}


def _candidates(
    model: LanguageModel, admitted: Admission, kv_heads: int, scored: int, window: int | None
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Subblock, name and variant of what may be tried."""
    works = set(admitted.works)
    reduction = next((r for r, kind in (("merge", "merged"), ("drop", "dropped")) if f"{kind} KV heads" in works), None)
    if reduction is not None and kv_heads > 1:
        fewer = {kv_heads // 2 if kv_heads % 2 == 0 else 1, 1} - {kv_heads}
        for kept in sorted(fewer, reverse=True):
            fewer_heads = {"kind": "gqa", "kv_heads": kept, "reduction": reduction}
            yield "attention", f"kv{kept}", fewer_heads
            if window is not None:
                yield "attention", f"kv{kept}_window{window}", fewer_heads | {"window": window}
    elif window is None and "window" in works:
        # What it leaves out must show in the scores: the largest power of two within half of their text.
        window = 1 << ((scored // 2).bit_length() - 1)
    if window is not None:
        yield "attention", f"window{window}", {"kind": "gqa", "window": window}
    if any(variants.is_mixture(layer) for layer in distinct_layers(model)):
        yield "ffn", "experts50", {"kind": "gated", "experts": 0.5}
        yield "ffn", "active1", {"kind": "gated", "active": 1}
        yield "ffn", "ffn50", {"kind": "gated", "width": 0.5}
    elif "narrower FFN" in works:
        for percent in (75, 50, 25):
            yield "ffn", f"ffn{percent}", {"kind": "gated", "width": percent / 100}
    for subblock, words in (("attention", "attention"), ("ffn", "FFN")):
        if f"linear {words}" in works:
            yield subblock, "linear", {"kind": "linear"}
        if f"no-op {words}" in works:
            yield subblock, "no_op", {"kind": "no_op"}
