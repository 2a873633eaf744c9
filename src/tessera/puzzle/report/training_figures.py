"""Figures of learning: scores of the variants, losses of the block library, healing."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.common.intervals import known
from tessera.puzzle.report.choice_figures import COLOURS
from tessera.puzzle.report.results import METHOD_NAMES, SUBBLOCK_NAMES, SUBBLOCKS, Results

PHASES = {
    "paper": ("paper's initialisation", ":"),
    "least_squares": ("least squares", "--"),
    "distilled": ("distilled", "-"),
}


def _colours(results: Results, subblock: str) -> dict[str, str]:
    return dict(zip(results.variants(subblock)[1:], cycle(plots.CYCLE), strict=False))


def scores(results: Results) -> Figure:
    """KL divergence from the parent when one subblock of one layer is exchanged, on validation text, with standard
    errors by document.
    """
    figure, axes = plots.grid(1, 2, 3.6, sharey=True)
    plotted = {}
    for axis, subblock in zip(axes[0], SUBBLOCKS, strict=True):
        ends = []
        for variant, colour in _colours(results, subblock).items():
            rows = [results.scores[layer][subblock][variant] for layer in results.layers]
            kl = [row["kl_div"] for row in rows]
            axis.errorbar(
                results.layers, kl, [known(row["kl_div_se"]) for row in rows], color=colour, marker=".", lw=1.2
            )
            ends.append((variant, kl[-1], colour))
        axis.set(xlabel="layer", title=f"{SUBBLOCK_NAMES[subblock]} exchanged in one layer")
        plotted[axis] = ends
    for axis in plotted:
        plots.log_scale(axis.yaxis)
    plots.label_ends(figure, plotted)
    axes[0, 0].set_ylabel("KL(parent || exchanged), nats, ± SE")
    return figure


def library(results: Results) -> Figure:
    """Normalised error of each block's output on held-out text: after the paper's initialisation, after least squares
    in closed form, and after blockwise local distillation.
    """
    panels = [(subblock, variant) for subblock in SUBBLOCKS for variant in _colours(results, subblock)]
    columns = min(4, len(panels))
    figure, axes = plots.grid(-(-len(panels) // columns), columns, 2.1, sharex=True, sharey=True)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (subblock, variant) in zip(axes.flat, panels, strict=False):
        records = [results.library[layer][f"{subblock}.{variant}"] for layer in results.layers]
        for phase, (_, style) in PHASES.items():
            values = [record.get(phase, {}).get("per_token", np.nan) for record in records]
            if not np.isnan(values).all():
                axis.plot(results.layers, values, ls=style, lw=1.3, color=_colours(results, subblock)[variant])
        axis.set_title(f"{SUBBLOCK_NAMES[subblock]}: {variant}")
    for axis in axes.flat[max(0, len(panels) - columns) : len(panels)]:  # with nothing below
        axis.set_xlabel("layer")
        axis.tick_params(labelbottom=True)
    plots.log_scale(axes[0, 0].yaxis)
    for row in axes:
        row[0].set_ylabel("normalised error")
    lines = [plots.line(plots.BLACK, style, name) for name, style in PHASES.values()]
    figure.legend(handles=lines, loc="outside upper center", ncols=len(lines))
    return figure


def training(results: Results, shown: int = 4) -> Figure:
    """Normalised error during blockwise local distillation, for layers spread over the depth.

    Subblocks of which no variant is distilled are left out.
    """

    def curve(layer: int, subblock: str, variant: str) -> dict | None:
        return results.library[layer][f"{subblock}.{variant}"].get("training")

    distilled = [
        subblock
        for subblock in SUBBLOCKS
        if any(curve(layer, subblock, variant) for layer in results.layers for variant in _colours(results, subblock))
    ]
    rows = distilled or SUBBLOCKS
    picked = [results.layers[i] for i in np.unique(np.linspace(0, len(results.layers) - 1, shown).round().astype(int))]
    figure, axes = plots.grid(len(rows), len(picked), 2.2, sharex=True, sharey="row")
    plotted = {}
    for row, subblock in zip(axes, rows, strict=True):
        for axis, layer in zip(row, picked, strict=True):
            ends = []
            for variant, colour in _colours(results, subblock).items():
                if losses := curve(layer, subblock, variant):
                    axis.plot(np.array(losses["tokens"]) / 1e3, losses["loss"], color=colour, lw=1.2)
                    ends.append((variant, losses["loss"][-1], colour))
            axis.set_title(f"{SUBBLOCK_NAMES[subblock]}, layer {layer}")
            plotted[axis] = ends
        row[0].set_ylabel("training loss")
        plots.log_scale(row[0].yaxis)
    for axis in axes[-1]:
        axis.set_xlabel("1000 tokens")
    plots.label_ends(figure, plotted, size=7)
    return figure


def healing(results: Results) -> Figure:
    """KL divergence and cosine distance from the parent during global distillation, for all methods and the full
    schedule: every step (pale) and the mean over the latest tenth of the steps.
    """
    figure, axes = plots.grid(2, len(results.targets), 2.6, sharex="col", sharey="row")
    plotted = {}
    names = (
        ("kl_div", "KL(parent || child), nats"),
        ("cosine", "cosine distance of hidden states\n(mean over layers)"),
    )
    for row, (metric, label) in zip(axes, names, strict=True):
        row[0].set_ylabel(label)
        for axis, target in zip(row, results.targets, strict=True):
            ends = []
            for (of, name), curve in sorted(results.curves.items()):
                if of != target:
                    continue
                full = name == "full"
                method = results.kept if full else name
                colour = plots.BLACK if full else COLOURS[method]
                smooth = smoothed(curve[metric])
                tokens = np.array(curve["tokens"]) / 1e3
                axis.plot(tokens, curve[metric], color=colour, lw=0.6, alpha=0.25)
                axis.plot(tokens, smooth, color=colour, lw=1.5)
                text = f"{METHOD_NAMES[method]}, in full" if full else METHOD_NAMES[method]
                ends.append((text, smooth[-1], colour))
            plotted[axis] = ends
            if metric == "kl_div":
                axis.set_title(target)
        plots.log_scale(row[0].yaxis)
    for axis in axes[-1]:
        axis.set_xlabel("1000 tokens of healing")
        plots.log_scale(axis.xaxis)
    plots.label_ends(figure, plotted)
    return figure


def smoothed(values: Sequence[float], share: float = 0.1) -> np.ndarray:
    """Mean over the latest tenth of the steps (at least one) up to each step."""
    width = max(1, round(share * len(values)))
    sums = np.cumsum(np.concatenate([[0.0], values]))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - width)
    return (sums[last] - sums[first]) / (last - first)
