"""Figure of the comparison with other ways to prune."""

import numpy as np
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.common.intervals import known
from tessera.puzzle.studies.peers.report.results import GROUPS, NAMES, STATES, Results

COLOURS = {"puzzle": plots.BLUE, "depth": plots.ORANGE, "width": plots.GREEN, "flap": plots.PURPLE}
SHADES = {"assembled": 0.4, "equal": 1.0}


def peers(results: Results) -> Figure:
    """Left: KL to the parent at one budget, before (pale) and after equal healing, with 95 % intervals by document.
    Right: the FFN channels that each way keeps in each layer.

    0 channels: the FFN, or the whole layer, is dropped or a linear map.
    """
    rows = results.children
    figure, axes = plots.grid(1, 2, 3.4, width_ratios=(1.3, 1))
    axis = axes[0, 0]
    width = 0.8 / len(STATES)
    groups = [group for group in GROUPS if group in rows[0]["states"]["assembled"]]
    places = [(row, group) for group in groups for row in rows]
    for k, state in enumerate(STATES):
        for n, (row, group) in enumerate(places):
            numbers = row["states"][state][group]
            x = n + (k - 0.5) * width + groups.index(group)
            axis.bar(x, numbers["kl_div"], width, color=COLOURS[row["peer"]], alpha=SHADES[state])
            axis.errorbar(
                x, numbers["kl_div"], 1.96 * known(numbers["kl_div_se"]), color=plots.BLACK, lw=0.8, capsize=0
            )
    middles = [g * (len(rows) + 1) + (len(rows) - 1) / 2 for g in range(len(groups))]
    axis.set_xticks(middles, [GROUPS[group] for group in groups])
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="x", visible=False)
    axis.set_ylabel("KL, nats per token, ± 95 % by document")
    for row in rows:
        timed = results.speed["models"][row["peer"]]["speedup"]["runtime"]
        axis.bar(0, 0, color=COLOURS[row["peer"]], label=f"{NAMES[row['peer']]}: whole model {timed:.2f}x")
    axis.bar(0, 0, color=plots.GREY, alpha=SHADES["assembled"], label="pale: before healing")
    axis.set_ylim(top=1.45 * max(row["states"][s][g]["kl_div"] for row in rows for s in STATES for g in groups))
    axis.legend(loc="upper left", fontsize=7)
    axis = axes[0, 1]
    for row in rows:
        kept = row["channels"]
        axis.plot(np.arange(len(kept)), kept, ".-", lw=1, color=COLOURS[row["peer"]], label=NAMES[row["peer"]])
    axis.set(xlabel="layer", ylabel="FFN channels kept")
    return figure
