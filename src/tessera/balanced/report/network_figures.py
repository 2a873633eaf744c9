"""Figures of learning, of spiking neurons, and of attractor networks."""

import numpy as np
from matplotlib.figure import Figure

from tessera.balanced import summaries
from tessera.balanced.report.results import COLOURS, OBJECTIVES, Results
from tessera.common import plots

TRACES = {
    "error": "fraction of errors, without noise",
    "imbalance": "imbalance",
    "norm": "|w|, threshold per unit of activity",
    "kappa_out": r"$\kappa_{out}$, threshold units",
}
#: Colours different from those of the solutions.
LABELS = {"plus": plots.GREEN, "minus": plots.PURPLE}


def learning(results: Results) -> Figure:
    """Online learning under five kinds of noise: errors without noise, imbalance, norm of the weights and output
    margin versus the number of cycles; mean over tasks, the band is one standard error.

    The table has the end of the traces. Only noise of the output makes the weights large and balanced.
    """
    figure, axes = plots.grid(2, 2, 2.6, sharex=True)
    noises = dict(sorted(results.params.learning.noise.items(), key=lambda item: (item[1].sigma_out, item[1].sigma_in)))
    for (noise, value), colour in zip(noises.items(), plots.CYCLE, strict=False):
        rows = results.learning[results.learning["noise"] == noise]
        groups = rows.groupby("cycle")[list(TRACES)]
        mean, sem = groups.mean(), groups.sem()
        label = rf"{noise}: $\sigma_{{in}}$ = {value.sigma_in:g}, $\sigma_{{out}}$ = {value.sigma_out:g}"
        for axis, column in zip(axes.flat, TRACES, strict=True):
            axis.plot(mean.index + 1, mean[column], color=colour, label=label)
            low, high = mean[column] - sem[column], mean[column] + sem[column]
            axis.fill_between(mean.index + 1, low, high, color=colour, alpha=0.2, lw=0)
    for axis, title in zip(axes.flat, TRACES.values(), strict=True):
        axis.set(title=title)
        plots.log_scale(axis.xaxis)
    for axis in axes[-1]:
        axis.set_xlabel("1 + cycles of learning")
    axes[1, 1].set_ylim(bottom=-0.5)  # at the start a margin is that of almost no weights, -1
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, title="noise")
    return figure


def spiking(results: Results) -> Figure:
    """Output spikes of integrate-and-fire neurons with weights of largest input margin and of largest output
    margin, on plus and minus patterns, without and with noise that acts on the output; and how well a count
    threshold separates the labels.

    ROC curves and areas are means over draws of the noise, each with its own threshold, as in the table.
    """
    figure, axes = plots.grid(1, 3, 3.2)
    numbers = summaries.spiking_metrics(results.spiking)
    states = {"quiet": "-", "noisy": "--"}
    for axis, objective in zip(axes[0], OBJECTIVES, strict=False):
        for state, style in states.items():
            counts = {label: np.array(h) for label, h in results.spiking["counts"][f"{objective}/{state}"].items()}
            for label, colour in LABELS.items():
                h = counts[label]
                axis.step(np.arange(len(h)), h / h.sum(), style, color=colour, where="mid", label=f"{label}, {state}")
            curve, area = results.spiking["roc"][f"{objective}/{state}"], numbers[f"{objective}.{state}.auc"]
            label = f"{OBJECTIVES[objective]}, {state}: {area:.3f}"
            axes[0, 2].plot(curve["alarms"], curve["hits"], style, color=COLOURS[objective], label=label)
        axis.set(xlabel="output spikes in a trial", title=f"{OBJECTIVES[objective]} weights", xlim=(0, 40))
        axis.legend()
    axes[0, 0].set_ylabel("fraction of trials")
    axes[0, 2].set(xlabel="false alarms", ylabel="hits", title="ROC, mean over draws: area")
    axes[0, 2].legend(loc="lower right")
    return figure


def attractors(results: Results) -> Figure:
    """Memories that survive noise for the whole test, against the noise in threshold units and in mean output
    margins, and exact recovery from a start with errors; bars are 95 % Wilson intervals over memories.

    The table has the noise at which half of the memories are lost.
    """
    p = results.params.attractor
    figure, axes = plots.grid(1, 3, 3.3)
    for (size, rows), line, marker in zip(results.attractors.items(), ("-", "--", ":", "-."), "os^v", strict=False):
        for objective, curves in summaries.attractor_curves(rows, p).items():
            label = f"{OBJECTIVES[objective]}, N = {size}"
            for axis, x, name in (
                (axes[0, 0], curves["sigma"], "stable"),
                (axes[0, 1], p.sigma, "stable"),
                (axes[0, 2], curves["distance"], "recovered"),
            ):
                share, low, high = curves[name]
                axis.errorbar(
                    x,
                    share,
                    [share - low, high - share],
                    label=label,
                    color=COLOURS[objective],
                    ls=line,
                    marker=marker,
                    mfc="white",
                )
    axes[0, 0].set(xlabel=r"output noise $\sigma$, threshold units", ylabel="fraction", title="stable memories")
    axes[0, 1].set(xlabel=r"$\sigma$ / mean $\kappa_{out}$", title="the same, noise in margins")
    axes[0, 2].set(xlabel="probability of a flip 1 to 0 at the start", title="exact recovery")
    plots.log_scale(axes[0, 0].xaxis)
    for axis in axes[0]:
        axis.set_ylim(-0.03, 1.03)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
