"""What a directory would be as a parent: its shape, parameters and possible variants."""

from typing import Any

from tessera.puzzle.costs import memory
from tessera.puzzle.costs.tables import table_rows
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.space import Space


def summary(shape: Architecture) -> dict[str, Any]:
    """Parameters by part, and the KV heads that attention variants may have, of a parent of any family."""
    parts = [row for row in table_rows(shape, Space(attention={}, ffn={})) if row.variant is not None]
    counts = {row: memory.parameters(shape, row.variant, row.layers[0]).count for row in parts if row.variant}
    outside = memory.non_block_parameters(shape).count
    windows = sorted({window for window in shape.skeleton.windows if window})
    each = {
        place: " or ".join(f"{size:,}" for size in sorted({counts[row] for row in parts if row.subblock == place}))
        for place in ("attention", "ffn")
    }
    return {
        "model type": shape.model_type,
        "layers": shape.num_layers,
        "hidden size": shape.hidden_size,
        "query heads, KV heads, head size": f"{shape.num_heads}, {shape.num_kv_heads}, {shape.head_dim}",
        "windows": ", ".join(map(str, windows)) or "none",
        "FFN channels": shape.intermediate_size,
        "parameters": outside + sum(count * len(row.layers) for row, count in counts.items()),
        "of one attention, of one FFN": f"{each['attention']}, {each['ffn']}",
        "outside the layers": outside,
        "KV heads of variants": [n for n in range(1, shape.num_kv_heads) if shape.num_kv_heads % n == 0],
    }
