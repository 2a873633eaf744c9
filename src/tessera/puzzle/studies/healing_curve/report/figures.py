"""Figure of the study."""

import math

import numpy as np
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.puzzle.studies.healing_curve.report.results import INTERVAL, Results
from tessera.puzzle.studies.healing_curve.report.tables import labels

#: Beyond the longest healing the laws are drawn this many times as far.
AHEAD = 4.0
STYLES = {"own": ("-", "o"), "written": ("--", "s")}


def curves(results: Results) -> Figure:
    """KL of the kept children to the parent, on test text, after healings with more and more tokens: on people's text
    (circles, solid) and on text of the parent (squares, dashed).

    Points have 95 % intervals over test documents; lines and bands are the law E + A D^-β fitted to them, and its 95 %
    intervals, drawn beyond the longest healing as well. Grey lines: the KL at which a share of the parent's probability
    is kept.
    """
    figure, axes = plots.grid(1, 1, 4.2)
    axis = axes[0, 0]
    tokens = np.array(results.params.tokens, float)
    grid = np.geomspace(tokens[0], AHEAD * tokens[-1], 100)
    targets = list(dict.fromkeys(curve.target for curve in results.curves))
    colours = dict(zip(targets, plots.CYCLE, strict=False))
    handles = []
    for curve, name in labels(results):
        colour, (style, marker) = colours[curve.target], STYLES[curve.text]
        low, high = np.percentile(curve.draws, INTERVAL, axis=0)
        axis.errorbar(
            tokens, curve.kl, [curve.kl - low.clip(max=curve.kl), high.clip(min=curve.kl) - curve.kl],
            fmt=marker, color=colour, mfc=colour if style == "-" else "white", lw=1,
        )  # fmt: skip
        axis.plot(grid, curve.law.kl(grid), style, color=colour)
        laws = np.array([curve.laws.kl(x) for x in grid])
        axis.fill_between(grid, *np.percentile(laws, INTERVAL, axis=1), color=colour, alpha=0.1, lw=0)
        handles.append(plots.line(colour, style, name, marker))
    for share in results.params.kept:
        axis.axhline(-math.log(share), color=plots.GREY, lw=0.8, ls=":")
        axis.annotate(
            f"{100 * share:g} % kept", (grid[-1], -math.log(share)), xytext=(0, 2), textcoords="offset points",
            ha="right", va="bottom", fontsize=7, color=plots.GREY,
        )  # fmt: skip
    axis.axvline(tokens[-1], color=plots.GREY, lw=0.6)
    axis.set_xscale("log")
    plots.log_scale(axis.yaxis)
    axis.set(xlabel="tokens of healing", ylabel="KL(parent || child) on test text, nats per token")
    figure.legend(handles=handles, loc="outside lower left", ncols=2)
    return figure
