"""Block libraries: what every block variant of every layer costs and scores.

    {layer: {variant: {"stats": {"runtime_ms": 1.2, ...}, "metrics": {"kl_div": 0.03, ...}}}}

Costs and scores are named by dotted keys, "stats.runtime_ms", "metrics.kl_div". A measurement_info.json next to the
library says on which hardware and workload the stats hold.
"""

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera.puzzle.models.space import PARENT, compose, decompose
from tessera.puzzle.search.rows import summed

if TYPE_CHECKING:
    import pandas as pd

Library = Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]
#: For each layer: subblock -> variant -> metrics.
Scores = Sequence[Mapping[str, Any]]
#: Columns of a cost table that become a block's stats; the two subblocks' add up.
STATS = ("runtime_ms", "prefill_ms", "decode_ms", "parameters", "parameters_mib", "memory_mib", "kv_cache_mib")
NON_BLOCK = "non_block"


def read(path: str | Path) -> Library:
    """Read and check a library. Raises ValueError naming the file, layer, variant and key of the first fault."""
    path = Path(path)
    try:
        library = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unique)
        check(library)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error}); expected a block library") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return library


def check(library: Library) -> None:
    """Raise ValueError, naming layer, variant and key, if the library is not of the form above."""
    if not isinstance(library, Mapping) or not library:
        raise ValueError("not a block library; expected {layer: {variant: {'stats': {...}, 'metrics': {...}}}}")
    for layer, variants in library.items():
        if not isinstance(variants, Mapping) or not variants:
            raise ValueError(f"{layer} has no variants; expected a mapping with at least one")
        for variant, entry in variants.items():
            if not isinstance(entry, Mapping) or not all(isinstance(v, Mapping) for v in entry.values()):
                raise ValueError(f"{layer}, {variant!r} must have the form {{'stats': {{...}}, 'metrics': {{...}}}}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, refusing a key that is there twice: json would keep the last in silence."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)!r} is duplicated")
    return entries


def layers(library: Library) -> list[str]:
    """Layers in their natural order: layer_2 before layer_10."""
    return sorted(
        library, key=lambda name: [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", name)]
    )


def number(library: Library, layer: str, variant: str, key: str) -> float:
    """One entry's cost or score.

    Raises ValueError, naming the entry, if it is missing, no finite number, or a negative cost.
    """
    section, _, name = key.partition(".")
    entry = library[layer][variant]
    if not name or name not in entry.get(section, {}):
        valid = ", ".join(sorted(f"{s}.{n}" for s, numbers in entry.items() for n in numbers))
        raise ValueError(f"{layer}, {variant!r} has no {key}; it has {valid}")
    value = entry[section][name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{layer}, {variant!r}: {key} = {value!r}; expected a number")
    if not abs(value) <= sys.float_info.max:  # nor an integer that no float can hold
        raise ValueError(f"{layer}, {variant!r}: {key} = {value}; expected a finite number")
    if section == "stats" and value < 0:
        raise ValueError(f"{layer}, {variant!r}: {key} = {value}; a cost must not be negative")
    return value


def total(library: Library, choice: Mapping[str, str], key: str) -> float:
    """Exact sum over the layers of a choice. Raises ValueError, naming the key, if it is beyond the range of floats."""
    value = summed([number(library, layer, variant, key) for layer, variant in choice.items()])
    if math.isinf(value):
        raise ValueError(f"{key}: the sum over the layers exceeds the largest float, 1.8e308")
    return value


def common_keys(library: Library, section: str = "stats") -> list[str]:
    """Dotted keys of a section that every entry has as a number, sorted."""
    entries = [entry.get(section, {}) for variants in library.values() for entry in variants.values()]
    return sorted(f"{section}.{k}" for k in entries[0] if all(isinstance(e.get(k), int | float) for e in entries))


def parent_choice(library: Library, parent: str | None = None) -> dict[str, str]:
    """The choice that is the parent itself.

    `parent` names its variant; by default "parent+parent", or else the one variant of each layer with a KL divergence
    of 0. Raises ValueError, naming the layer, if there is none or several.
    """
    choice = {}
    for layer in layers(library):
        variants = library[layer]
        if parent is not None:
            candidates = [parent] if parent in variants else []
        elif compose(PARENT, PARENT) in variants:
            candidates = [compose(PARENT, PARENT)]
        else:
            candidates = [v for v, entry in variants.items() if entry.get("metrics", {}).get("kl_div") == 0]
        if parent is not None and not candidates:
            raise ValueError(f"{layer}: no variant {parent!r}; it has {', '.join(map(repr, variants))}")
        if len(candidates) != 1:
            raise ValueError(
                f"{layer}: cannot infer the parent's variant; name it, one of {', '.join(map(repr, variants))}"
            )
        choice[layer] = candidates[0]
    return choice


def make(scores: Scores, costs: "pd.DataFrame") -> dict[str, Any]:
    """Return the library of all pairs of subblock variants, from their scores and a target's cost table.

    scores: for each layer {"attention": {variant: {metric: value}}, "ffn": {...}}, the parent's own metrics under
    "parent" in one of the two. A pair's metric is the parent's plus the two subblocks' increments over it, its standard
    error (metrics that end in _se) their root of squares; a score measured for the pair itself, under "block", replaces
    it. costs: rows of subblock, variant and STATS; a variant whose times are NaN, which the target cannot compute, is
    left out. Raises ValueError naming the layer and variant that lack a number.
    """
    from tessera.puzzle.costs.lookup import of_layer

    library: dict[str, Any] = {}
    for i, layer in enumerate(scores):
        name = f"layer_{i}"
        table = of_layer(costs, i).set_index(["subblock", "variant"])
        if not table.index.is_unique:
            raise ValueError(f"the cost table has {table.index[table.index.duplicated()][0]} twice")
        attention, ffn = dict(layer["attention"]), dict(layer["ffn"])
        parent = attention.get(PARENT) or ffn.get(PARENT)
        if parent is None:
            raise ValueError(f"{name}: no scores of {PARENT!r}, to which the others are relative")
        attention[PARENT] = ffn[PARENT] = parent
        library[name] = {}
        for a, a_scores in sorted(attention.items()):
            for f, f_scores in sorted(ffn.items()):
                for subblock, variant in (("attention", a), ("ffn", f)):
                    if (subblock, variant) not in table.index:
                        valid = ", ".join(table.loc[subblock].index)
                        raise ValueError(f"{name}: the cost table has no {subblock} {variant!r}; it has {valid}")
                if math.isnan(table.at[("attention", a), "runtime_ms"] + table.at[("ffn", f), "runtime_ms"]):
                    continue
                stats = {k: (table.at[("attention", a), k] + table.at[("ffn", f), k]).item() for k in STATS}
                metrics = layer.get("block", {}).get(compose(a, f)) or _composed(parent, a_scores, f_scores)
                library[name][compose(a, f)] = {"stats": stats, "metrics": dict(metrics)}
    check(library)
    return library


def _composed(parent: Mapping, attention: Mapping, ffn: Mapping) -> dict[str, float | None]:
    """The parent's metrics plus the increments of its two subblocks."""
    summed: dict[str, float | None] = {}
    for metric in sorted(parent.keys() & attention.keys() & ffn.keys()):
        if metric.endswith("_se"):
            errors = attention[metric], ffn[metric]
            summed[metric] = None if None in errors else math.hypot(*errors)
        else:
            summed[metric] = math.fsum([attention[metric], ffn[metric], -parent[metric]])
    return summed


def measurement_info(costs: "pd.DataFrame") -> dict[str, Any]:
    """What the stats hold for: hardware, software, dtype, workload, and the costs outside the blocks."""
    (outside,) = costs[costs.subblock == NON_BLOCK].to_dict("records")
    what = ("source", "hardware", "software", "dtype", "batch", "prefill", "decode", "max_num_tokens")
    return {k: outside[k] for k in what} | {
        "sequence_length": outside["prefill"] + outside["decode"],
        NON_BLOCK: {k: outside[k] for k in STATS},
    }


def no_op_only(library: Library, kept: Iterable[str] = (PARENT, "no_op")) -> dict[str, Any]:
    """The part of a composed library whose subblocks are the parent's or dropped; ValueError if a layer has none."""
    kept = set(kept)
    part = {la: {v: e for v, e in vs.items() if set(decompose(v)) <= kept} for la, vs in library.items()}
    check(part)
    return part
