"""Figure of the searches on true KL."""

import numpy as np
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.puzzle.studies.evolution.report.results import NAMES, PROGRAM, Results, best_so_far
from tessera.puzzle.studies.evolution.report.tables import searches

COLOURS = {PROGRAM: plots.BLACK, "random": plots.GREY, "evolution": plots.ORANGE, "warm": plots.BLUE}


def search(results: Results) -> Figure:
    """Left: the least KL to the parent against the children that were run, one line per seed; dashed: the program's
    child, for which none was run. Right: the best child of each search on test text, with 95 % intervals by document.
    """
    figure, axes = plots.grid(1, 2, 3.4, width_ratios=(1.6, 1))
    left, right = axes[0]
    table = searches(results)
    for row in results.searches:
        best = best_so_far(row)
        if row["search"] == PROGRAM:
            left.axhline(best[0], color=COLOURS[PROGRAM], lw=1.2, ls="--", label=NAMES[PROGRAM])
            continue
        label = NAMES[row["search"]] if row["replicate"] == 0 else None
        left.step(np.arange(1, len(best) + 1), best, where="post", color=COLOURS[row["search"]], label=label)
    plots.log_scale(left.yaxis)
    left.set(xlabel="children run", ylabel="least KL so far, nats per token, text of the search")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    names = list(dict.fromkeys(table["search"]))
    for n, name in enumerate(names):
        runs = table[table["search"] == name]
        x = n + 0.3 * ((np.arange(len(runs)) + 0.5) / len(runs) - 0.5)
        right.errorbar(x, runs["test_kl_div"], 1.96 * runs["test_kl_div_se"], fmt="o", lw=1.2, color=COLOURS[name])
    right.axhline(table["test_kl_div"].iloc[0], color=COLOURS[PROGRAM], lw=0.8, ls="--")
    plots.log_scale(right.yaxis)
    right.set_xticks(range(len(names)), [NAMES[name].replace(" from", "\nfrom").replace(", ", ",\n") for name in names])
    right.tick_params(axis="x", labelsize=7)
    right.grid(axis="x", visible=False)
    right.set_ylabel("KL on test text, ± 95 % by document")
    return figure
