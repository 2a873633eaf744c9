"""Figure and table of the search's sensitivity to its scores."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tessera.common import plots

Results = list[dict[str, Any]]


def table(results: Results) -> pd.DataFrame:
    """One row a target and speed-up; shares of layers and draws, nats a token; intervals hold 90 % of the draws."""
    rows = []
    for one in results:
        for point in one["points"]:
            row = {"target": one["target"], "speedup": point["speedup"], "draws": one["draws"], "value": point["value"]}
            row |= {name: float(np.mean(point[name])) for name in ("changed_attention", "changed_ffn")}
            for name in ("regret", "optimism"):
                low, high = np.quantile(point[name], [0.05, 0.95])
                row |= {name: float(np.mean(point[name])), f"{name}_low": float(low), f"{name}_high": float(high)}
            rows.append(row)
    return pd.DataFrame(rows)


def figure(results: Results) -> Figure:
    """Regret, optimism and changed layers by speed-up; and which layers change."""
    rows = table(results)
    made, axes = plots.grid(2, 1 + len(results), 2.8, width_ratios=[1, *[1.2] * len(results)])
    handles = []
    for colour, (target, own) in zip(plots.CYCLE, rows.groupby("target", sort=False), strict=False):
        handles.append(plots.line(colour, label=str(target), marker="o"))
        for name, style in (("regret", "-"), ("optimism", "--")):
            shares = [100 * own[column] / own.value for column in (name, f"{name}_low", f"{name}_high")]
            axes[0, 0].plot(own.speedup, shares[0], style, color=colour, marker="o")
            axes[0, 0].fill_between(own.speedup, shares[1], shares[2], color=colour, alpha=0.12, lw=0)
        for part, style in (("attention", "-"), ("ffn", "--")):
            axes[1, 0].plot(own.speedup, 100 * own[f"changed_{part}"], style, color=colour, marker="o")
    axes[0, 0].set(xlabel="speed-up of the blocks", ylabel="of the optimum's score, %", title="Regret and optimism")
    axes[1, 0].set(xlabel="speed-up of the blocks", ylabel="layers changed, %", title="Changed variants")
    for ax in axes[:, 0]:
        ax.set_ylim(0, None)
    handles += [plots.line(plots.GREY, "-", "regret; attention"), plots.line(plots.GREY, "--", "optimism; FFN")]
    made.legend(handles=handles, loc="outside lower left", ncols=4)
    for column, one in enumerate(results, 1):
        speedups = [point["speedup"] for point in one["points"]]
        for ax, part in zip(axes[:, column], ("attention", "ffn"), strict=True):
            changed = 100 * np.array([point[f"changed_{part}"] for point in one["points"]])
            places = [np.arange(n) for n in changed.T.shape]
            image = ax.pcolormesh(*places, changed, cmap="Blues", vmin=0, vmax=100, edgecolors="white", lw=0.3)
            ax.set_yticks(range(len(speedups)), [f"{s:g}" for s in speedups])
            name = "FFN" if part == "ffn" else part
            ax.set(xlabel="layer", ylabel="speed-up", title=f"{one['target']}: {name}")
            ax.grid(False)
    made.colorbar(image, ax=axes[:, 1:], label="draws with another variant, %", aspect=40)
    return made


def metrics(results: Results) -> dict[str, Any]:
    """Numbers by target and speed-up."""
    found: dict[str, Any] = {}
    for row in table(results).to_dict("records"):
        own = {k: v for k, v in row.items() if k not in ("target", "speedup")}
        own["regret_share"] = row["regret"] / row["value"]
        found.setdefault(row["target"], {})[f"{row['speedup']:g}"] = own
    return found
