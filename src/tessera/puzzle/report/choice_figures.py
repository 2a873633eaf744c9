"""Figures of the search: frontiers, chosen variants, costs of layers, predictions against measurements, evaluation."""

import math
from itertools import cycle

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tessera.common import plots
from tessera.common.files import Json
from tessera.common.intervals import known
from tessera.puzzle.models.space import decompose
from tessera.puzzle.report.results import (
    GROUP_NAMES,
    METHOD_NAMES,
    SPEED_GOAL,
    STATE_NAMES,
    STATES,
    SUBBLOCK_NAMES,
    SUBBLOCKS,
    Results,
)

COLOURS = {
    "mip": plots.BLUE,
    "greedy": plots.ORANGE,
    "max_params": plots.GREEN,
    "homogeneous": plots.PURPLE,
    "no_op_only": plots.SKY,
    "random": plots.GREY,
}
#: How much of a method's colour each state has.
SHADES = {"assembled": 0.35, "equal": 0.65, "full": 1.0}
#: Standard errors of a 95 % interval.
CONFIDENT = 1.96
SUBBLOCK_COLOURS = {"attention": plots.ORANGE, "ffn": plots.BLUE}


def _points(results: Results, target: str, method: str) -> list[Json]:
    points = results.frontier[target]["points"]
    return [point for point in points if point["method"] == method and point["blocks"]]


def frontier(results: Results) -> Figure:
    """KL divergence from the parent against the throughput of the blocks, for every method.

    Lines are sums of replace-one-block scores, which the search minimises, with the standard error of the sum; diamonds
    are assembled children of the kept method, measured on test text that no score has seen.
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
        measured = [point for point in _points(results, target, results.kept) if "measured" in point]
        if measured:
            axis.errorbar(
                [point["speed"]["blocks_speedup"] for point in measured],
                [point["measured"]["kl_div"] for point in measured],
                [known(point["measured"]["kl_div_se"]) for point in measured],
                color=plots.BLACK,
                ls="none",
                marker="D",
                ms=4,
                mfc="white",
                zorder=4,
                label=f"{METHOD_NAMES[results.kept]}, measured on test text",
            )
            axis.legend(loc="lower right")
        axis.set(xlim=(1, edge), title=target, xlabel="throughput of the blocks, multiple of the parent's")
        plotted[axis] = ends
    for axis, ends in plotted.items():
        plots.log_scale(axis.yaxis)
        plots.label_ends(axis, ends)
    axes[0, 0].set_ylabel("KL(parent || child) before healing, nats\nlines: sum of replace-one-block scores ± SE")
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
        cost, child = results.cost(target).runtime_ms, results.children[target]["children"][results.kept]
        whole = sum(cost[subblock, "parent"] for subblock in SUBBLOCKS)
        bottom = np.zeros(len(child["blocks"]))
        for i, subblock in enumerate(SUBBLOCKS):
            parts = np.array([cost[subblock, decompose(block)[i]] for block in child["blocks"]]) / whole
            kept = parts.sum() / (len(parts) * cost[subblock, "parent"] / whole)
            name = f"{SUBBLOCK_NAMES[subblock]}: {100 * kept:.0f} % of the parent's time is left"
            axis.bar(results.layers, parts, bottom=bottom, color=SUBBLOCK_COLOURS[subblock], width=0.8, label=name)
            share = cost[subblock, "parent"] / whole
            bottom += parts
            if i == 0:
                axis.axhline(share, color=SUBBLOCK_COLOURS[subblock], lw=1, ls="--")
        axis.axhline(1, color=plots.BLACK, lw=1, ls="--")
        axis.annotate(" parent", (1, 1), xycoords=("axes fraction", "data"), fontsize=8, va="center")
        axis.annotate(
            " its attention",
            (1, cost["attention", "parent"] / whole),
            xycoords=("axes fraction", "data"),
            fontsize=8,
            va="center",
            color=SUBBLOCK_COLOURS["attention"],
        )
        axis.set(ylim=(0, 1.42), ylabel="time of the layer,\nparent's layer = 1")
        axis.set_title(f"{target}: child at {results.children[target]['speedup']:g} times the parent's throughput")
        axis.legend(loc="upper left", ncols=2)
        axis.grid(False, axis="x")
        axis.set_xticks(results.layers[:: _step(results)])
        axis.set_xlim(-0.7, len(results.layers) - 0.3)
    axes[-1, 0].set_xlabel("layer")
    return figure


def prediction(results: Results) -> Figure:
    """Left: the sum of scores against the measured KL divergence, for all children and frontier points that were run.

    Right: speed-up of the children over the parent, measured in turn in one process on this CPU (bars, with half the
    interquartile range over rounds), and predicted by the cost table.
    """
    figure, axes = plots.grid(1, 2, 3.7)
    _predicted_kl(axes[0, 0], results)
    _predicted_speed(axes[0, 1], results)
    return figure


def _predicted_kl(axis: Axes, results: Results) -> None:
    markers = dict(zip(results.targets, cycle("os^vD"), strict=False))
    seen: list[float] = []
    for target, marker in markers.items():
        for point in results.frontier[target]["points"]:
            if "measured" in point:
                row = (point["value"], point["measured"]["kl_div"], known(point["measured"]["kl_div_se"]))
                _point(axis, results, point, row, COLOURS[point["method"]], marker, filled=False)
                seen += row[:2]
        for method in results.methods:
            child = results.children[target]["children"][method]
            assembled = results.states(target, method)["assembled"]["in_domain"]
            row = (child["value"], assembled["kl_div"], known(assembled["kl_div_se"]))
            _point(axis, results, child, row, COLOURS[method], marker, filled=True)
            seen += row[:2]
    low, high = 0.8 * min(seen), 1.25 * max(seen)
    axis.plot([low, high], [low, high], color=plots.BLACK, lw=0.8, ls="--", zorder=1)
    axis.set(xlim=(low, high), ylim=(low, high))
    plots.log_scale(axis.xaxis)
    plots.log_scale(axis.yaxis)
    axis.set(xlabel="predicted: sum of scores ± SE, nats", ylabel="measured on test text ± SE, nats")
    axis.set_title("KL before healing")
    handles = [plots.line(COLOURS[method], label=METHOD_NAMES[method]) for method in results.methods]
    handles += [plots.line(plots.BLACK, "none", target, marker) for target, marker in markers.items()]
    axis.legend(handles=handles, loc="upper left")
    axis.annotate(
        "filled: children; open: frontier",
        (0.98, 0.02),
        xycoords="axes fraction",
        ha="right",
        fontsize=8,
        color=plots.GREY,
    )


def _point(
    axis: Axes, results: Results, child: Json, row: tuple[float, float, float], colour: str, marker: str, filled: bool
) -> None:
    x, y, error = row
    axis.errorbar(
        x,
        y,
        error,
        results.predicted_se(child["blocks"]),
        color=colour,
        marker=marker,
        mfc=colour if filled else "white",
        ls="none",
        lw=0.8,
    )


def _predicted_speed(axis: Axes, results: Results) -> None:
    """Bars of measured speed-up by phase; marks are predictions, with the error aimed for."""
    children, width = results.models[1:], 0.26
    phases = (("prefill", plots.SKY), ("decode", plots.BLUE), ("runtime", plots.GREY))
    tops = [1.0]
    for i, (phase, colour) in enumerate(phases):
        rows = [results.speed["models"][name] for name in children]
        measured = [row["speedup"].get(phase, math.nan) for row in rows]
        spread = [known(row["speedup"].get(f"{phase}_spread")) for row in rows]
        predicted = np.array([row["predicted_speedup"][phase] for row in rows])
        places = np.arange(len(children)) + (i - 1) * width
        label = {"runtime": "all"}.get(phase, phase)
        axis.bar(
            places, measured, 0.92 * width, yerr=spread, color=colour, label=f"{label}, measured", error_kw={"lw": 1}
        )
        aimed = f"predicted ± {100 * SPEED_GOAL:.0f} %" if phase == "runtime" else None
        style = {"ls": "none", "marker": "D", "ms": 5, "lw": 1, "zorder": 4, "capsize": 4}
        axis.errorbar(places + 0.2 * width, predicted, SPEED_GOAL * predicted, color=plots.RED, label=aimed, **style)
        tops += [*measured, *predicted * (1 + SPEED_GOAL)]
    axis.axhline(1, color=plots.BLACK, lw=0.8, ls="--")
    axis.set_xticks(range(len(children)), [f"{name} child" for name in children])
    axis.set(ylim=(0, 1.45 * np.nanmax(tops)), ylabel="times as fast as the parent")
    workload = results.speed["workload"]
    axis.set_title("Speed-up on this CPU")
    axis.set_xlabel(f"{workload['prefill']} + {workload['decode']} tokens, batch {workload['batch']}")
    axis.grid(False, axis="x")
    axis.legend(loc="upper left", ncols=2)


def evaluation(results: Results) -> Figure:
    """KL divergence from the parent of every method's child on test text, before and after healing, with 95 % intervals
    (1.96 standard errors by document).

    Left: all methods on the training domains. Right: the kept child by domain.
    """
    figure, axes = plots.grid(len(results.targets), 2, 2.9)
    for row, target in zip(axes, results.targets, strict=True):
        _bars(row[0], results, target, [(METHOD_NAMES[m], m, "in_domain") for m in results.methods])
        row[0].set_title(f"{target}: all methods, {GROUP_NAMES['in_domain']}")
        plots.log_scale(row[0].yaxis)
        _bars(
            row[1], results, target, [(domain.replace("_", " "), results.kept, domain) for domain in results.domains()]
        )
        row[1].set_title(f"{target}: child of {METHOD_NAMES[results.kept]}, by domain")
        row[1].set_ylim(0)
        row[0].set_ylabel("KL(parent || child), nats, ± 95 %")
    handles = [Patch(fc=_tint(COLOURS[results.kept], SHADES[state]), label=STATE_NAMES[state]) for state in STATES]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(STATES))
    return figure


def _bars(axis: Axes, results: Results, target: str, bars: list[tuple[str, str, str]]) -> None:
    """One group of bars for each name, method and domain, one bar per state."""
    for place, (_, method, domain) in enumerate(bars):
        states = results.states(target, method)
        width = 0.8 / len(states)
        for i, (state, domains) in enumerate(states.items()):
            metrics = domains[domain]
            axis.bar(
                place + (i - (len(states) - 1) / 2) * width,
                metrics["kl_div"],
                0.95 * width,
                yerr=CONFIDENT * known(metrics["kl_div_se"]),
                color=_tint(COLOURS[method], SHADES[state]),
                error_kw={"lw": 0.8},
            )
    axis.set_xticks(range(len(bars)), [name for name, *_ in bars], rotation=25, ha="right", rotation_mode="anchor")
    axis.grid(False, axis="x")


def _tint(colour: str, strength: float) -> tuple[float, ...]:
    """The colour mixed with white."""
    return tuple(1 - strength * (1 - channel) for channel in mpl.colors.to_rgb(colour))
