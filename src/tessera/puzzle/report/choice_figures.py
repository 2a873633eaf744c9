"""Figures of the search: frontiers, chosen variants and costs of layers."""

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tessera.common import plots
from tessera.common.files import Json
from tessera.common.intervals import known
from tessera.puzzle.models.space import PARENT, decompose
from tessera.puzzle.report.results import (
    METHOD_NAMES,
    SUBBLOCK_NAMES,
    SUBBLOCKS,
    Results,
)

COLOURS = {
    "quadratic": plots.RED,
    "mip": plots.BLUE,
    "greedy": plots.ORANGE,
    "max_params": plots.GREEN,
    "homogeneous": plots.PURPLE,
    "no_op_only": plots.YELLOW,
    "stock": plots.SKY,
    "random": plots.GREY,
}
SUBBLOCK_COLOURS = {"attention": plots.ORANGE, "ffn": plots.BLUE}


def _points(results: Results, target: str, method: str) -> list[Json]:
    points = results.frontier[target]["points"]
    return [point for point in points if point["method"] == method and point["blocks"]]


def frontier(results: Results) -> Figure:
    """KL divergence from the parent against the throughput of the blocks, for every method.

    Lines are what replace-one-block scores predict, with the standard error of their sum: with interactions for the
    method of that name, else their sum. Diamonds are assembled children, in the colour of their method, measured on
    test text that no score has seen.
    """
    figure, axes = plots.grid(1, len(results.targets), 3.6, sharey=True)
    plotted = {}
    for axis, target in zip(axes[0], results.targets, strict=True):
        methods = [m for m in METHOD_NAMES if any(p["method"] == m for p in results.frontier[target]["points"])]
        # Some methods end far within their budgets: points much faster than the largest budget are left out.
        edge = 1.12 * max(point["speedup"] for point in results.frontier[target]["points"])
        ends = []
        for method in methods:
            points = sorted(_points(results, target, method), key=lambda point: point["speed"]["blocks_speedup"])
            x = [point["speed"]["blocks_speedup"] for point in points]
            y = [point["value"] for point in points]
            errors = [results.predicted_se(point["blocks"]) for point in points]
            main = method == results.kept
            line = "none" if method == "random" else "--"
            style = {"lw": 2.2, "marker": "o"} if main else {"lw": 0.9, "marker": ".", "ls": line}
            axis.errorbar(x, y, errors, color=COLOURS[method], zorder=3 if main else 2, **style)
            shown = [end for end, speedup in zip(y, x, strict=True) if speedup <= edge]
            if shown:
                ends.append((METHOD_NAMES[method], shown[-1], COLOURS[method]))
        for method in reversed(methods):  # the kept one's on top, where two methods have the same child
            measured = [point for point in _points(results, target, method) if "measured" in point]
            if measured:
                axis.errorbar(
                    [point["speed"]["blocks_speedup"] for point in measured],
                    [point["measured"]["kl_div"] for point in measured],
                    [known(point["measured"]["kl_div_se"]) for point in measured],
                    color=COLOURS[method],
                    ls="none",
                    marker="D",
                    ms=4,
                    mfc="white",
                    zorder=4,
                )
        axis.legend(handles=[plots.line(plots.BLACK, "none", "measured on test text", "D")], loc="lower right")
        axis.set(xlim=(1, edge), title=target, xlabel="throughput of the blocks, multiple of the parent's")
        plotted[axis] = ends
    for axis in plotted:
        plots.log_scale(axis.yaxis)
    plots.label_ends(figure, plotted)
    axes[0, 0].set_ylabel("KL(parent || child) before healing, nats\nlines: predicted by replace-one-block scores ± SE")
    return figure


def choices(results: Results) -> Figure:
    """Variant that the kept method chooses for each layer (columns) at each throughput (rows), one panel per target and
    subblock. The darker, the more of the parent's parameters are left.
    """
    rows = [(target, subblock) for target in results.targets for subblock in SUBBLOCKS]
    figure, axes = plots.grid(len(rows), 1, 1.75)
    for axis, (target, subblock) in zip(axes[:, 0], rows, strict=True):
        variants = results.variants(subblock)
        colours = _shades(len(variants))
        points = sorted(_points(results, target, results.kept), key=lambda point: point["speedup"])
        picked = [
            [variants.index(decompose(block)[SUBBLOCKS.index(subblock)]) for block in point["blocks"]]
            for point in points
        ]
        axis.pcolormesh(
            np.array(picked), cmap=ListedColormap(colours), vmin=-0.5, vmax=len(variants) - 0.5, edgecolors="w", lw=0.6
        )
        axis.set_yticks(np.arange(len(points)) + 0.5, [f"{point['speedup']:g}x" for point in points])
        axis.set_xticks(np.arange(len(results.layers))[:: _step(results)] + 0.5, results.layers[:: _step(results)])
        axis.set_title(f"{target}: {SUBBLOCK_NAMES[subblock]}")
        axis.set_ylabel("throughput")
        axis.tick_params(length=0)
        axis.grid(False)
        axis.spines[:].set_visible(False)
        patches = [Patch(fc=c, ec="#999999", lw=0.5, label=v) for c, v in zip(colours, variants, strict=True)]
        axis.legend(handles=patches, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes[-1, 0].set_xlabel("layer")
    return figure


def _shades(count: int) -> list[tuple[float, ...]]:
    """From dark, all of the parent, to nearly white, nothing."""
    return [tuple(mpl.colormaps["cividis"](x))[:3] for x in np.linspace(0, 0.9, count - 1)] + [(0.96, 0.96, 0.96)]


def _step(results: Results) -> int:
    return 1 if len(results.layers) <= 16 else 2 if len(results.layers) <= 40 else 5


def layer_costs(results: Results) -> Figure:
    """Time of each layer of the kept children relative to the parent's layer, split into attention and FFN.

    The same block library gives different children on different hardware.
    """
    figure, axes = plots.grid(len(results.targets), 1, 2.2, sharex=True)
    for axis, target in zip(axes[:, 0], results.targets, strict=True):
        child = results.children[target]["children"][results.kept]
        costs = [results.cost(target, layer).runtime_ms for layer in results.layers]
        parents = {s: np.array([cost[s, PARENT] for cost in costs]) for s in SUBBLOCKS}
        whole = sum(parents.values())
        bottom = np.zeros(len(costs))
        for i, subblock in enumerate(SUBBLOCKS):
            times = [cost[subblock, decompose(b)[i]] for cost, b in zip(costs, child["blocks"], strict=True)]
            kept = sum(times) / parents[subblock].sum()
            name = f"{SUBBLOCK_NAMES[subblock]}: {100 * kept:.0f} % of the parent's time is left"
            parts = np.array(times) / whole
            axis.bar(results.layers, parts, bottom=bottom, color=SUBBLOCK_COLOURS[subblock], width=0.8, label=name)
            bottom += parts
        shares = parents["attention"] / whole
        edges = np.array([*results.layers, len(costs)]) - 0.5
        axis.stairs(shares, edges, baseline=None, color=SUBBLOCK_COLOURS["attention"], lw=1, ls="--")
        axis.axhline(1, color=plots.BLACK, lw=1, ls="--")
        axis.annotate(" parent", (1, 1), xycoords=("axes fraction", "data"), fontsize=8, va="center")
        axis.annotate(
            " its attention",
            (1, shares[-1]),
            xycoords=("axes fraction", "data"),
            fontsize=8,
            va="center",
            color=SUBBLOCK_COLOURS["attention"],
        )
        axis.set(ylim=(0, 1.42), ylabel="time of the layer,\nparent's layer = 1")
        speedup = results.children[target]["speedup"]
        axis.set_title(f"{target}: child" + (f" at {speedup:g} times the parent's throughput" if speedup else ""))
        axis.legend(loc="upper left", ncols=2)
        axis.grid(False, axis="x")
        axis.set_xticks(results.layers[:: _step(results)])
        axis.set_xlim(-0.7, len(results.layers) - 0.3)
    axes[-1, 0].set_xlabel("layer")
    return figure
