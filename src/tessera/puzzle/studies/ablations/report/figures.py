"""Figures of the ablations."""

from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.puzzle.studies.ablations.report import tables
from tessera.puzzle.studies.ablations.report.results import STATES, Results

COLOURS = {"random": plots.GREY, "paper": plots.ORANGE, "least_squares": plots.BLUE}
NAMES = {"random": "random", "paper": "the paper's rules", "least_squares": "least squares"}


def blocks(results: Results) -> Figure:
    """Held-out loss of the variants of a few layers after blockwise distillation, against its tokens, from random
    weights, the paper's rules and least squares: means over layers, intervals over seeds.
    """
    return _losses(results, "tokens")


def flops(results: Results) -> Figure:
    """Held-out loss of the variants of a few layers against the floating-point operations that make one of them
    (selection of channels, least squares, gradient), by initialisation: means over layers, intervals over seeds.

    The parent's own activations, which all need, are not counted; weights that cost no FLOPs are left out.
    """
    return _losses(results, "flops")


def _losses(results: Results, work: Literal["tokens", "flops"]) -> Figure:
    table = tables.blocks(results)
    if work == "flops":
        table = table[table.flops > 0].assign(flops=table.flops / 1e9)
    variants = list(dict.fromkeys(table.variant))
    figure, axes = plots.grid(-(-len(variants) // 3), min(3, len(variants)), 2.4, sharex=work == "tokens")
    for axis, variant in zip(axes.flat, variants, strict=False):
        for initialisation, rows in table[table.variant == variant].groupby("initialisation", sort=False):
            rows = rows.sort_values(work)
            axis.errorbar(
                rows[work],
                rows["mean"],
                rows.half.astype(float),
                marker="o",
                color=COLOURS[str(initialisation)],
                label=NAMES[str(initialisation)],
            )
        plots.log_scale(axis.yaxis)
        if work == "flops":
            plots.log_scale(axis.xaxis)
        axis.set_title(variant)
    for axis in axes.flat[len(variants) :]:
        axis.set_visible(False)
    for n, axis in enumerate(axes.flat[: len(variants)]):
        if work == "flops" or n + axes.shape[1] >= len(variants):
            axis.set_xlabel("tokens of distillation" if work == "tokens" else "work, GFLOP")
            axis.tick_params(labelbottom=True)
    for axis in axes[:, 0]:
        axis.set_ylabel("held-out loss")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def cases(results: Results) -> Figure:
    """KL of children at one budget, each with one part of the method exchanged, as assembled and after the same short
    healing, on test text; and relative to the case that each is compared with, seed by seed.

    Intervals are over seeds, by Student's t.
    """
    table = tables.cases(results)
    figure, axes = plots.grid(1, 2, 0.9 + 0.25 * len(table), sharey=True, width_ratios=(3, 2))
    left, right = axes[0]
    rows = -np.arange(len(table))
    for k, (state, colour) in enumerate(zip(STATES, (plots.GREY, plots.BLUE), strict=True)):
        name = f"{state}_in_domain_kl_div"
        left.errorbar(
            table[name],
            rows + 0.12 * (1 - 2 * k),
            xerr=table[f"{name}_half"].astype(float),
            ls="none",
            marker="o",
            color=colour,
            label=STATES[state],
        )
    ratio, low, high = (table[f"healed_in_domain_ratio{end}"].astype(float) for end in ("", "_low", "_high"))
    ends = np.array([ratio - low, high - ratio])
    for against, colour in zip(dict.fromkeys(table.against), (plots.BLUE, plots.ORANGE, plots.GREEN), strict=False):
        compared = (table.against == against) & (table.case != against)
        right.errorbar(
            ratio[compared], rows[compared], xerr=ends[:, compared], ls="none", marker="o", color=colour, label=against
        )
    left.set_yticks(rows, table.case)
    left.set_ylim(rows[-1] - 0.7, 0.7)
    for axis in (left, right):
        plots.log_scale(axis.xaxis)
    left.set_xlabel("KL(parent || child), nats per token")
    left.legend(loc="lower right")
    right.axvline(1.0, color=plots.BLACK, lw=0.8)
    right.set_xlabel("healed, relative")
    right.legend(title="relative to", loc="lower right")
    return figure
