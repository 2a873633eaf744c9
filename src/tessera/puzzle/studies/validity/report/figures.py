"""Figures of the validity study: predictions against children that were run."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.common.files import Json
from tessera.common.intervals import known
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.studies.validity.report.numbers import numbers
from tessera.puzzle.studies.validity.report.results import (
    GROUP_NAMES,
    PHASES,
    PREDICTORS,
    STATE_NAMES,
    STATES,
    Results,
    composed_pairs,
    optima,
    predictions,
)

COLOURS = {
    "mip": plots.BLUE,
    "diverse": plots.SKY,
    "baselines": plots.ORANGE,
    "mild": plots.GREEN,
    "any": plots.GREY,
    "corrected": plots.RED,
}
MARKERS = {"mip": "o", "diverse": "D", "baselines": "s", "mild": "^", "any": "v"}


def _colour(group: str) -> str:
    return COLOURS.get(group, plots.PURPLE)


def _diagonal(axis: Axes, values: list[float]) -> None:
    ends = [min(values) * 0.8, max(values) * 1.25]
    axis.plot(ends, ends, color=plots.BLACK, lw=0.8, ls="--", zorder=1)
    axis.set(xlim=ends, ylim=ends)
    plots.log_scale(axis.xaxis)
    plots.log_scale(axis.yaxis)


def kl(results: Results) -> Figure:
    """KL of whole children against the sum of their exchanged subblocks' scores, by how the children were chosen: on
    the very text of the scores, where only a lack of additivity can separate the two; on test text; and there after a
    fixed short healing.

    Bars are standard errors by document.
    """
    figure, axes = plots.grid(1, 3, 3.2)
    ranks = numbers(results)["ranks"]["all"]["sum"]
    values = [results.predicted(row) for row in results.children]
    values += [row[state]["kl_div"] for row in results.children for state in STATES]
    for axis, state in zip(axes[0], STATES, strict=True):
        for group in results.groups():
            rows = results.of((group,))
            axis.errorbar(
                [results.predicted(row) for row in rows],
                [row[state]["kl_div"] for row in rows],
                [known(row[state]["kl_div_se"]) for row in rows],
                [results.predicted_se(row) for row in rows],
                ls="none",
                marker=MARKERS.get(group, "x"),
                ms=4,
                lw=0.7,
                capsize=0,
                color=_colour(group),
                label=GROUP_NAMES.get(group, group),
            )
        _diagonal(axis, values)
        rho = ranks[state]["spearman"]
        axis.set_title(
            f"{STATE_NAMES[state]}\nSpearman {rho['value']:.2f} [{rho['low']:.2f}, {rho['high']:.2f}]", fontsize=8.5
        )
        axis.set_xlabel("sum of scores, nats")
    axes[0, 0].set_ylabel("KL, nats per token, ± SE by document")
    axes[0, 0].legend(loc="upper left", fontsize=7)
    return figure


def bias(results: Results) -> Figure:
    """True over predicted KL against the number of exchanged subblocks, for the sum of scores and for corrections by
    pairwise interactions: with cosines measured for each pair in the logits, nothing fitted; and with cosines fitted
    on the children of all other groups, by where the two exchanges are or by what they are.

    The error is the root mean square of the logarithm, in percent, over children with a small sum.
    """
    figure, axes = plots.grid(2, 2, 2.6, sharex=True, sharey=True)
    biases = numbers(results)["bias"]
    for axis, (predictor, name) in zip(axes.flat, PREDICTORS.items(), strict=True):
        values = predictions(results, predictor)
        for group in results.groups():
            rows = [row for row in results.of((group,)) if (values[row["name"]] or 0) > 0]
            axis.plot(
                [results.replaced(row) for row in rows],
                [row["scored"]["kl_div"] / values[row["name"]] for row in rows],  # type: ignore[operator]
                ls="none",
                marker=MARKERS.get(group, "x"),
                color=_colour(group),
                label=GROUP_NAMES.get(group, group),
            )
        axis.axhline(1, color=plots.BLACK, lw=0.8, ls="--")
        error = biases.get("fitted", {}).get(predictor, {}).get("scored", {}).get("error")
        note = ""
        if error:
            value, low, high = (100 * math.expm1(error[key]) for key in ("value", "low", "high"))
            note = f"\nerror {value:.0f} % [{low:.0f}, {high:.0f}]"
        axis.set_title(f"{name}{note}", fontsize=8.5)
    for axis in axes[-1]:
        axis.set_xlabel("exchanged subblocks")
    plots.log_scale(axes[0, 0].yaxis)
    for axis in axes[:, 0]:
        axis.set_ylabel("true / predicted KL, scores' text")
    axes[0, 1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7)
    return figure


def composed(results: Results) -> Figure:
    """Scores of whole blocks, attention and FFN of one layer exchanged at once, against the sum of the two subblocks'
    scores, and their ratio by depth.

    The band is the 95 % interval of the geometric mean.
    """
    figure, axes = plots.grid(1, 2, 3.2, width_ratios=(1, 1.2))
    pairs = composed_pairs(results)
    ratio = numbers(results)["composed"].get("ratio")
    axes[0, 0].errorbar(
        [pair["sum"] for pair in pairs],
        [pair["composed"] for pair in pairs],
        [known(pair["composed_se"]) for pair in pairs],
        ls="none",
        marker="o",
        ms=3.5,
        lw=0.7,
        color=plots.BLUE,
    )
    _diagonal(axes[0, 0], [pair[key] for pair in pairs for key in ("sum", "composed")])
    axes[0, 0].set(xlabel="sum of the two subblocks' scores, nats", ylabel="score of the block, nats ± SE")
    axes[0, 1].plot(
        [pair["layer"] for pair in pairs],
        [pair["composed"] / pair["sum"] for pair in pairs],
        ls="none",
        marker="o",
        color=plots.BLUE,
    )
    axes[0, 1].axhline(1, color=plots.BLACK, lw=0.8, ls="--")
    if ratio:
        axes[0, 1].axhspan(ratio["low"], ratio["high"], color=plots.SKY, alpha=0.3, lw=0)
        text = f"geometric mean {ratio['value']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"
        axes[0, 1].set_title(text, fontsize=8.5)
    axes[0, 1].set(xlabel="layer", ylabel="score of the block / sum")
    return figure


def optimum(results: Results) -> Figure:
    """KL of the optima of the corrected objectives relative to that of the optimum of the plain sum, at the same
    budget.

    Differences are paired by window, with intervals by document.
    """
    figure, axes = plots.grid(1, len(STATES), 3.0, sharey=True)
    rows = optima(results)
    places = list(dict.fromkeys((row["target"], row["speedup"]) for row in rows))
    forms = {"neighbourhood": plots.ORANGE, "subblocks": plots.PURPLE, "measured": plots.BLUE}
    for axis, state in zip(axes[0], STATES, strict=True):
        for k, (form, colour) in enumerate(forms.items()):
            of_form = [row for row in rows if row["form"] == form]
            axis.errorbar(
                [places.index((row["target"], row["speedup"])) + 0.2 * (k - 1) for row in of_form],
                [100 * row[state]["difference"] / row[state]["optimum"] for row in of_form],
                [100 * 1.96 * known(row[state]["se"]) / row[state]["optimum"] for row in of_form],
                ls="none",
                marker="o",
                color=colour,
                label="measured" if form == "measured" else f"fitted by {form}",
            )
        axis.axhline(0, color=plots.BLACK, lw=0.8, ls="--")
        axis.set_xticks(range(len(places)), [f"{target}\n{speedup:g}x" for target, speedup in places])
        axis.set_title(STATE_NAMES[state], fontsize=8.5)
    axes[0, 0].set_ylabel("KL relative to the sum's optimum, %\n± 95 % by document, paired")
    axes[0, -1].legend(loc="upper right", fontsize=7)
    return figure


def time(results: Results) -> Figure:
    """Measured speed-ups of children that served a measured target's workload in turn with the parent, in one process,
    against the cost table's prediction.

    The grey band is ± 15 %, the project's goal.
    """
    figure, axes = plots.grid(1, len(PHASES), 3.0)
    children: dict[str, Json] = {name: child for name, child in results.time["children"].items() if name != PARENT}
    errors = numbers(results)["time"]
    if not children:
        axes[0, 1].set_title("no cost target is measured, so no child was timed", fontsize=8.5)
        return figure
    for axis, phase in zip(axes[0], PHASES, strict=True):
        for group in dict.fromkeys(child["group"] for child in children.values()):
            of_group = [child for child in children.values() if child["group"] == group]
            axis.errorbar(
                [child["predicted_speedup"][phase] for child in of_group],
                [child["speedup"][phase] for child in of_group],
                [known(child["speedup"][f"{phase}_spread"]) for child in of_group],
                ls="none",
                marker=MARKERS.get(group, "x"),
                color=_colour(group),
                label=GROUP_NAMES.get(group, group),
            )
        values = [child[key][phase] for child in children.values() for key in ("predicted_speedup", "speedup")]
        least = min(
            child["speedup"][phase] - (child["speedup"][f"{phase}_spread"] or 0.0) for child in children.values()
        )
        ends = [0.97 * min([1, least, *values]), 1.05 * max(values)]
        axis.plot(ends, ends, color=plots.BLACK, lw=0.8, ls="--")
        axis.fill_between(ends, [0.85 * e for e in ends], [1.15 * e for e in ends], color=plots.GREY, alpha=0.15, lw=0)
        error = f"\nerror {100 * np.expm1(errors[phase]['error']):.1f} %" if phase in errors else ""
        axis.set_title(f"{'whole workload' if phase == 'runtime' else phase}{error}", fontsize=8.5)
        axis.set(xlim=ends, ylim=ends, xlabel="predicted speed-up")
    axes[0, 0].set_ylabel("measured speed-up, ± half IQR")
    axes[0, 0].legend(loc="upper left", fontsize=7)
    return figure
