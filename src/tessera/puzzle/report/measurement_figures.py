"""Figures of what was measured: predictions against measurements, and evaluation on test text."""

import math
from itertools import cycle

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tessera.common import plots
from tessera.common.files import Json
from tessera.common.intervals import known
from tessera.puzzle.report.choice_figures import COLOURS
from tessera.puzzle.report.results import GROUP_NAMES, METHOD_NAMES, SPEED_GOAL, STATE_NAMES, Results

#: How much of a method's colour each state has.
SHADES = {"assembled": 0.3, "equal": 0.5, "refitted": 0.75, "full": 1.0}
#: Standard errors of a 95 % interval.
CONFIDENT = 1.96


def prediction(results: Results) -> Figure:
    """Left: the predicted against the measured KL divergence, for all children and frontier points that were run. The
    prediction is the sum of scores, for the search with interactions the quadratic form of them.

    Right: speed-up of the children over the parent, measured in turn in one process on this machine (bars, with half
    the interquartile range over rounds), and predicted by the cost table if its target is measured.
    """
    figure, axes = plots.grid(1, 1 + len(results.served), 3.7)
    _predicted_kl(axes[0, 0], results)
    for axis, name in zip(axes[0, 1:], results.served, strict=True):
        _predicted_speed(axis, results, name)
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
    axis.set(xlabel="predicted by the scores ± SE, nats", ylabel="measured on test text ± SE, nats")
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


def _predicted_speed(axis: Axes, results: Results, served: str) -> None:
    """Bars of measured speed-up by phase; marks are predictions, with the error aimed for."""
    serving, width = results.served[served], 0.26
    children = [name for name in serving["models"] if name != "parent"]
    phases = (("prefill", plots.SKY), ("decode", plots.BLUE), ("runtime", plots.GREY))
    tops = [1.0]
    for i, (phase, colour) in enumerate(phases):
        rows = [serving["models"][name] for name in children]
        measured = [row["speedup"].get(phase, math.nan) for row in rows]
        spread = [known(row["speedup"].get(f"{phase}_spread")) for row in rows]
        predicted = np.array([row.get("predicted_speedup", {}).get(phase, math.nan) for row in rows])
        places = np.arange(len(children)) + (i - 1) * width
        label = {"runtime": "all"}.get(phase, phase)
        axis.bar(
            places, measured, 0.92 * width, yerr=spread, color=colour, label=f"{label}, measured", error_kw={"lw": 1}
        )
        if not np.isnan(predicted).all():
            aimed = f"predicted ± {100 * SPEED_GOAL:.0f} %" if phase == "runtime" else None
            style = {"ls": "none", "marker": "D", "ms": 5, "lw": 1, "zorder": 4, "capsize": 4}
            axis.errorbar(
                places + 0.2 * width, predicted, SPEED_GOAL * predicted, color=plots.RED, label=aimed, **style
            )
        tops += [*measured, *predicted * (1 + SPEED_GOAL)]
    axis.axhline(1, color=plots.BLACK, lw=0.8, ls="--")
    axis.set_xticks(range(len(children)), [f"{name} child" for name in children])
    axis.set(ylim=(0, 1.45 * np.nanmax(tops)), ylabel="times as fast as the parent")
    workload = serving["workload"]
    axis.set_title(f"Speed-up on {served}")
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
    states = results.states(results.targets[0], results.kept)
    handles = [Patch(fc=_tint(COLOURS[results.kept], SHADES[state]), label=STATE_NAMES[state]) for state in states]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(states))
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
