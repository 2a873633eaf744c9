"""Figures of the search: frontiers, which variants are chosen where, what layers cost, predicted against measured."""

import math
from itertools import cycle

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tessera.common import plots
from tessera.puzzle.space import decompose
from tessera.report.puzzle_results import GROUP_NAMES, METHOD_NAMES, SUBBLOCK_NAMES, SUBBLOCKS, Json, Results

COLOURS = {
    "mip": plots.BLUE,
    "greedy": plots.ORANGE,
    "max_params": plots.GREEN,
    "homogeneous": plots.PURPLE,
    "no_op_only": plots.SKY,
    "random": plots.GREY,
}
SUBBLOCK_COLOURS = {"attention": plots.ORANGE, "ffn": plots.BLUE}


def _points(found: Results, target: str, method: str) -> list[Json]:
    points = found.frontier[target]["points"]
    return [point for point in points if point["method"] == method and point["blocks"]]


def frontier(found: Results) -> Figure:
    """KL against block throughput for every method, and the measured KL of the kept method's children."""
    figure, axes = plots.grid(1, len(found.targets), 3.6, sharey=True)
    for axis, target in zip(axes[0], found.targets, strict=True):
        methods = [m for m in METHOD_NAMES if any(p["method"] == m for p in found.frontier[target]["points"])]
        ends = []
        for method in methods:
            points = sorted(_points(found, target, method), key=lambda point: point["speed"]["blocks_speedup"])
            x = [point["speed"]["blocks_speedup"] for point in points]
            y = [point["value"] for point in points]
            errors = [found.predicted_se(point["blocks"]) for point in points]
            main = method == found.kept
            style = {"lw": 2.2, "marker": "o"} if main else {"lw": 0.9, "marker": ".", "ls": "--"}
            axis.errorbar(x, y, errors, color=COLOURS[method], zorder=3 if main else 2, **style)
            if y:
                ends.append((METHOD_NAMES[method], y[-1], COLOURS[method]))
        measured = [point for point in _points(found, target, found.kept) if "measured" in point]
        if measured:
            axis.errorbar(
                [point["speed"]["blocks_speedup"] for point in measured],
                [point["measured"]["kl_div"] for point in measured],
                [point["measured"]["kl_div_se"] for point in measured],
                color=plots.BLACK,
                ls="none",
                marker="D",
                ms=4,
                mfc="white",
                zorder=4,
                label=f"{METHOD_NAMES[found.kept]}, measured on test text",
            )
            axis.legend(loc="upper left")
        axis.set(yscale="log", title=target, xlabel="throughput of the blocks, multiple of the parent's")
        plots.label_ends(axis, ends)
    axes[0, 0].set_ylabel("KL(parent || child) before healing, nats\nlines: sum of replace-one-block scores ± SE")
    return figure


def choices(found: Results) -> Figure:
    """Which variant the kept method chooses for each layer (columns) at each throughput (rows)."""
    rows = [(target, subblock) for target in found.targets for subblock in SUBBLOCKS]
    figure, axes = plots.grid(len(rows), 1, 1.75)
    for axis, (target, subblock) in zip(axes[:, 0], rows, strict=True):
        variants = found.variants(subblock)
        colours = _shades(len(variants))
        points = sorted(_points(found, target, found.kept), key=lambda point: point["speedup"])
        picked = [
            [variants.index(decompose(block)[SUBBLOCKS.index(subblock)]) for block in point["blocks"]]
            for point in points
        ]
        axis.pcolormesh(
            np.array(picked), cmap=ListedColormap(colours), vmin=-0.5, vmax=len(variants) - 0.5, edgecolors="w", lw=0.6
        )
        axis.set_yticks(np.arange(len(points)) + 0.5, [f"{point['speedup']:g}x" for point in points])
        axis.set_xticks(np.arange(len(found.layers))[:: _step(found)] + 0.5, found.layers[:: _step(found)])
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


def _step(found: Results) -> int:
    return 1 if len(found.layers) <= 16 else 2 if len(found.layers) <= 40 else 5


def layer_costs(found: Results) -> Figure:
    """Time of each layer of the kept children relative to the parent's layer, attention and FFN apart."""
    figure, axes = plots.grid(len(found.targets), 1, 2.2, sharex=True)
    for axis, target in zip(axes[:, 0], found.targets, strict=True):
        cost, child = found.cost(target).runtime_ms, found.children[target]["children"][found.kept]
        whole = sum(cost[subblock, "parent"] for subblock in SUBBLOCKS)
        bottom = np.zeros(len(child["blocks"]))
        for i, subblock in enumerate(SUBBLOCKS):
            parts = np.array([cost[subblock, decompose(block)[i]] for block in child["blocks"]]) / whole
            kept = parts.sum() / (len(parts) * cost[subblock, "parent"] / whole)
            name = f"{SUBBLOCK_NAMES[subblock]}: {100 * kept:.0f} % of the parent's time is left"
            axis.bar(found.layers, parts, bottom=bottom, color=SUBBLOCK_COLOURS[subblock], width=0.8, label=name)
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
        axis.set_title(f"{target}: child at {found.children[target]['speedup']:g} times the parent's throughput")
        axis.legend(loc="upper left", ncols=2)
        axis.grid(False, axis="x")
        axis.set_xticks(found.layers[:: _step(found)])
    axes[-1, 0].set_xlabel("layer")
    return figure


def prediction(found: Results) -> Figure:
    """Predicted against measured: KL of every child that was run, and time of whole models."""
    figure, axes = plots.grid(1, 2, 3.7)
    _predicted_kl(axes[0, 0], found)
    _predicted_time(axes[0, 1], found)
    return figure


def _predicted_kl(axis: Axes, found: Results) -> None:
    markers = dict(zip(found.targets, cycle("os^vD"), strict=False))
    seen: list[float] = []
    for target, marker in markers.items():
        for point in found.frontier[target]["points"]:
            if "measured" in point:
                row = (point["value"], point["measured"]["kl_div"], point["measured"]["kl_div_se"])
                _point(axis, found, point, row, COLOURS[point["method"]], marker, filled=False)
                seen += row[:2]
        for method in found.methods:
            child, own = found.children[target]["children"][method], found.states(target, method)["assembled"]
            row = (child["value"], own["in_domain"]["kl_div"], own["in_domain"]["kl_div_se"])
            _point(axis, found, child, row, COLOURS[method], marker, filled=True)
            seen += row[:2]
    low, high = 0.8 * min(seen), 1.25 * max(seen)
    axis.plot([low, high], [low, high], color=plots.BLACK, lw=0.8, ls="--", zorder=1)
    axis.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    axis.set(xlabel="predicted: sum of scores ± SE, nats", ylabel="measured on test text ± SE, nats")
    axis.set_title("KL before healing")
    handles = [plots.line(COLOURS[method], label=METHOD_NAMES[method]) for method in found.methods]
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
    axis: Axes, found: Results, child: Json, row: tuple[float, float, float], colour: str, marker: str, filled: bool
) -> None:
    x, y, error = row
    axis.errorbar(
        x,
        y,
        error,
        found.predicted_se(child["blocks"]),
        color=colour,
        marker=marker,
        mfc=colour if filled else "white",
        ls="none",
        lw=0.8,
    )


def _predicted_time(axis: Axes, found: Results) -> None:
    """Bars of measured time, prefill and decode, with the prediction as a mark."""
    names = list(found.speed["models"])
    width = 0.38
    for i, (phase, colour) in enumerate((("prefill", plots.SKY), ("decode", plots.BLUE))):
        places = np.arange(len(names)) + (i - 0.5) * width
        rows = [found.speed["models"][name] for name in names]
        heights = [row["measured"][f"{phase}_ms"] / 1e3 for row in rows]
        errors = [row["measured"][f"{phase}_ms_spread"] / 1e3 for row in rows]
        foreseen = [row["predicted"][f"{phase}_ms"] / 1e3 for row in rows]
        axis.bar(
            places, heights, 0.92 * width, yerr=errors, color=colour, label=f"{phase}, measured", error_kw={"lw": 1}
        )
        label = "predicted by the cost table" if i else None
        axis.plot(places, foreseen, ls="none", marker="D", color=plots.RED, ms=5, label=label, zorder=4)
        for place, height, row in zip(places, heights, rows, strict=True):
            speedup = row["speedup"].get(phase, math.nan)
            axis.annotate(
                f"{speedup:.2f}x", (place, 0), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=7
            )
            axis.set_ylim(0, max(axis.get_ylim()[1], 1.35 * height))
    axis.set_xticks(range(len(names)), [name if name == "parent" else f"{name}\nchild" for name in names])
    axis.set_ylabel("seconds for the workload")
    workload = found.speed["workload"]
    axis.set_title(f"Time on this CPU, {workload['prefill']} + {workload['decode']} tokens, batch {workload['batch']}")
    axis.grid(False, axis="x")
    axis.legend(loc="upper right")


def evaluation(found: Results) -> Figure:
    """KL of every method's child in each state: by group of domains, and of the kept children by single domain."""
    figure, axes = plots.grid(len(found.targets), 2, 3.0, gridspec_kw={"width_ratios": [1, 1]})
    shades = {"assembled": 0.35, "equal": 0.65, "full": 1.0}
    for row, target in zip(axes, found.targets, strict=True):
        _bars(row[0], found, target, [(METHOD_NAMES[m], m, "in_domain") for m in found.methods], shades)
        row[0].set_title(f"{target}: all methods, {GROUP_NAMES['in_domain']}")
        domains = [(domain.replace("_", "\n", 1), found.kept, domain) for domain in found.domains()]
        _bars(row[1], found, target, domains, shades)
        row[1].set_title(f"{target}: child of {METHOD_NAMES[found.kept]}, by domain")
        row[0].set_ylabel("KL(parent || child), nats, ± 95 %")
    return figure


def _bars(axis: Axes, found: Results, target: str, bars: list[tuple[str, str, str]], shades: dict[str, float]) -> None:
    names = {"assembled": "assembled", "equal": "healed equally", "full": "healed in full"}
    shown = set()
    for place, (_, method, domain) in enumerate(bars):
        states = found.states(target, method)
        width = 0.8 / len(states)
        for i, (state, domains) in enumerate(states.items()):
            one = domains[domain]
            axis.bar(
                place + (i - (len(states) - 1) / 2) * width,
                one["kl_div"],
                0.95 * width,
                yerr=1.96 * one["kl_div_se"],
                color=_tint(COLOURS[method], shades[state]),
                error_kw={"lw": 0.8},
                label=None if state in shown or method != found.kept else names[state],
            )
            shown |= {state} if method == found.kept else set()
    axis.set_xticks(range(len(bars)), [name for name, *_ in bars])
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(False, axis="x")
    axis.set_ylim(0, 1.3 * axis.get_ylim()[1])  # room for the legend
    axis.legend(loc="upper left", ncols=3)


def _tint(colour: str, strength: float) -> tuple[float, ...]:
    """The colour mixed with white."""
    return tuple(1 - strength * (1 - channel) for channel in mpl.colors.to_rgb(colour))
