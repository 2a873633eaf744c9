"""What a cost table says of a layer and of a child; it needs no model, and so no torch."""

import math
from collections.abc import Sequence

import pandas as pd

from tessera.puzzle.models.space import decompose

NON_BLOCK = "non_block"
#: In the column `layers`: the row holds for every layer.
ALL = "all"
#: Columns that add up over the layers of a child.
ADDITIVE = (
    "prefill_ms",
    "decode_ms",
    "runtime_ms",
    "parameters",
    "parameters_mib",
    "kv_cache_mib",
    "memory_mib",
    "prefill_gflop",
    "decode_gbyte",
)


def of_layer(table: pd.DataFrame, layer: int) -> pd.DataFrame:
    """The rows of a table that hold for one layer; all, if the table does not say for which they hold."""
    if "layers" not in table:
        return table
    return table[[text == ALL or layer in _numbers(text) for text in table["layers"]]]


def _numbers(text: str) -> set[int]:
    ends = [[int(end) for end in part.split("-")] for part in text.split()]
    return {layer for first, *last in ends for layer in range(first, (last or [first])[0] + 1)}


def child_cost(table: pd.DataFrame, choice: Sequence[str], non_block: bool = True) -> dict[str, float]:
    """Predicted costs of a child, ADDITIVE columns summed over its layers; choice is ATTENTION+FFN for each layer.

    Raises ValueError, naming the layer, if the table has no such variant, or no costs of it.
    """
    columns = list(ADDITIVE)
    costs = [table.loc[table.subblock == NON_BLOCK, columns].sum()] if non_block else []
    for layer, block in enumerate(choice):
        rows = of_layer(table, layer).set_index(["subblock", "variant"])[columns]
        for key in zip(("attention", "ffn"), decompose(block), strict=True):
            if key not in rows.index:
                valid = ", ".join(rows.loc[key[0]].index)
                raise ValueError(f"layer {layer}: the cost table has no {key[0]} variant {key[1]!r}; it has {valid}")
            if math.isnan(rows.loc[key].runtime_ms):
                raise ValueError(f"layer {layer}: the target cannot compute {key[0]} variant {key[1]!r}")
            costs.append(rows.loc[key])
    return pd.concat(costs, axis=1).sum(axis=1).to_dict()
