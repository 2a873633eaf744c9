"""Figure of the search's sensitivity to its scores."""

import numpy as np
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.puzzle.studies.sensitivity.report.results import Results
from tessera.puzzle.studies.sensitivity.report.tables import draws


def choices(results: Results) -> Figure:
    """Share of draws in which a layer's variant changes, when every score is drawn again within its standard error and
    the search is repeated; and the cost: regret is how much worse the draws' choices are by the original scores,
    optimism how much their own optima promise beyond that.

    Lines are means, bands hold 90 % of the draws.
    """
    rows, count = draws(results), len(results.targets)
    figure, axes = plots.grid(2, 1 + count, 2.8, width_ratios=[1, *[1.2] * count])
    handles = []
    for colour, (target, points) in zip(plots.CYCLE, rows.groupby("target", sort=False), strict=False):
        handles.append(plots.line(colour, label=str(target), marker="o"))
        for name, style in (("regret", "-"), ("optimism", "--")):
            shares = [100 * points[column] / points.value for column in (name, f"{name}_low", f"{name}_high")]
            axes[0, 0].plot(points.speedup, shares[0], style, color=colour, marker="o")
            axes[0, 0].fill_between(points.speedup, shares[1], shares[2], color=colour, alpha=0.12, lw=0)
        for part, style in (("attention", "-"), ("ffn", "--")):
            axes[1, 0].plot(points.speedup, 100 * points[f"changed_{part}"], style, color=colour, marker="o")
    axes[0, 0].set(xlabel="speed-up of the blocks", ylabel="of the optimum's score, %", title="Regret and optimism")
    axes[1, 0].set(xlabel="speed-up of the blocks", ylabel="layers changed, %", title="Changed variants")
    for ax in axes[:, 0]:
        ax.set_ylim(0, None)
    handles += [plots.line(plots.GREY, "-", "regret; attention"), plots.line(plots.GREY, "--", "optimism; FFN")]
    figure.legend(handles=handles, loc="outside lower left", ncols=4)
    for column, result in enumerate(results.targets, 1):
        speedups = [point["speedup"] for point in result["points"]]
        for ax, part in zip(axes[:, column], ("attention", "ffn"), strict=True):
            changed = 100 * np.array([point[f"changed_{part}"] for point in result["points"]])
            places = [np.arange(n) for n in changed.T.shape]
            image = ax.pcolormesh(*places, changed, cmap="Blues", vmin=0, vmax=100, edgecolors="white", lw=0.3)
            ax.set_yticks(range(len(speedups)), [f"{s:g}" for s in speedups])
            name = "FFN" if part == "ffn" else part
            ax.set(xlabel="layer", ylabel="speed-up", title=f"{result['target']}: {name}")
            ax.grid(False)
    figure.colorbar(image, ax=axes[:, 1:], label="draws with another variant, %", aspect=40)
    return figure
