"""Table of the search's sensitivity to its scores."""

import numpy as np
import pandas as pd

from tessera.common.files import Json
from tessera.puzzle.studies.sensitivity.report.results import Results


def draws(results: Results) -> pd.DataFrame:
    """Regret, optimism and changed layers by target and speed-up; in nats per token, and shares of layers and draws.

    Intervals hold 90 % of the draws.
    """
    rows = []
    for target in results.targets:
        for point in target["points"]:
            row = {"target": target["target"], "speedup": point["speedup"], "draws": target["draws"]}
            row["value"] = point["value"]
            row |= {name: float(np.mean(point[name])) for name in ("changed_attention", "changed_ffn")}
            for name in ("regret", "optimism"):
                low, high = np.quantile(point[name], [0.05, 0.95])
                row |= {name: float(np.mean(point[name])), f"{name}_low": float(low), f"{name}_high": float(high)}
            rows.append(row)
    return pd.DataFrame(rows)


def metrics(results: Results) -> Json:
    """Numbers by target and speed-up."""
    numbers: Json = {}
    for row in draws(results).to_dict("records"):
        point = {key: value for key, value in row.items() if key not in ("target", "speedup")}
        point["regret_share"] = row["regret"] / row["value"]
        numbers.setdefault(row["target"], {})[f"{row['speedup']:g}"] = point
    return numbers
