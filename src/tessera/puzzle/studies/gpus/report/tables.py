"""Table of the children on several GPUs."""

import pandas as pd

from tessera.common.files import Json
from tessera.puzzle.studies.gpus.report.results import Results


def children(results: Results) -> pd.DataFrame:
    """Layers by variant of each GPU's child, its predicted loss, and times of the variants in multiples of the parent's
    layer; one row per shape, GPU and type. A row without a child says why in `refusal`.
    """
    rows = []
    for choice in results.choices:
        row = {key: choice[key] for key in ("shape", "hardware", "software", "dtype", "refusal", "value")}
        for subblock in ("attention", "ffn"):
            for variant in results.variants(subblock):
                row[f"{subblock}_{variant}_layers"] = choice["layers"].get(subblock, {}).get(variant, 0)
                row[f"{subblock}_{variant}_time"] = choice["times"].get(subblock, {}).get(variant)
        rows.append(row)
    return pd.DataFrame(rows)


def metrics(results: Results) -> Json:
    """Numbers by shape, GPU and type, of the children that there are."""
    numbers: Json = {}
    for shape in results.shapes:
        for choice in results.found(shape):
            point = {"value": choice["value"], "layers": choice["layers"], "times": choice["times"]}
            numbers.setdefault(shape, {}).setdefault(choice["hardware"], {})[choice["dtype"]] = point
    return numbers
