"""Figures of what noise does to the T-SVM and to others, over kernels, and on speech."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.tsvm.report.results import Results

#: Names, colours and line styles of the methods.
METHODS = {
    "tsvm": ("T-SVM", plots.BLUE, "-"),
    "one_sided": ("T-SVM without hold", plots.SKY, "--"),
    "dead_zone": ("static margin, dead zone", plots.GREEN, "-."),
    "lp": ("largest box margin", plots.PURPLE, "-"),
    "vertex": ("random corner", plots.GREY, ":"),
    "least_squares": ("least squares", plots.RED, "--"),
    "perceptron": ("first-error perceptron", plots.ORANGE, "-"),
}
#: Kinds of noise and the unit of their level.
KINDS = {"jitter": "jitter, ms", "synaptic": "synaptic noise / weight", "membrane": r"membrane noise / $\theta$"}
MARKERS = "os^Dv"


def noise(found: Results) -> Figure:
    """F1 against the level of each noise for all methods, mean over problems; below, trials without error."""
    kinds = [kind for kind in KINDS if kind in set(found.curves["kind"])]
    figure, axes = plots.grid(2, len(kinds), 2.5, sharey="row")
    for column, kind in enumerate(kinds):
        one = found.curves[found.curves["kind"] == kind]
        for method, (_, colour, style) in METHODS.items():
            groups = one[one["method"] == method].groupby("level")
            if not len(groups):
                continue
            for row, name in enumerate(("f1", "perfect")):
                mean, error = groups[name].mean(), groups[name].sem()
                axes[row, column].errorbar(mean.index, mean, error, color=colour, ls=style, marker=".", ms=4)
        for row in (0, 1):
            plots.log_scale(axes[row, column].xaxis)
        axes[1, column].set(xlabel=KINDS[kind])
        axes[0, column].set(title=kind.capitalize())
    axes[0, 0].set(ylabel="F1")
    axes[1, 0].set(ylabel="trials without error")
    shown = [method for method in METHODS if method in set(found.curves["method"])]
    handles = [plots.line(METHODS[method][1], METHODS[method][2], METHODS[method][0]) for method in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def prediction(found: Results) -> Figure:
    """The noise at which half of the trials fail against what is predicted, one point per problem.

    Above each panel: partial rank correlation given the number of targets, with its interval over problems.
    """
    kinds = [kind for kind in KINDS if kind in set(found.critical["kind"])]
    figure, axes = plots.grid(2, len(kinds), 2.7)
    own = found.critical[found.critical["method"] == "tsvm"]
    correlations = found.rank_correlations().set_index(["kind", "prediction"])
    for column, kind in enumerate(kinds):
        one = own[own["kind"] == kind]
        for row, (name, label) in enumerate(
            [("by_margin", r"$\kappa|w| / \langle\sigma_V\rangle$"), ("by_survival", "predicted by survival")]
        ):
            axis = axes[row, column]
            _points(axis, one, name)
            entry = correlations.loc[(kind, name)]
            interval = f"[{entry['partial_low']:.2f}, {entry['partial_high']:.2f}]"
            axis.set_title(f"{kind}: rank given targets\n{entry['partial']:.2f} {interval}", fontsize=8)
            axis.set(xlabel=f"{label}", ylabel="measured" if column == 0 else "")
            if name == "by_survival":
                ends = [min(one[name].min(), one["critical"].min()), max(one[name].max(), one["critical"].max())]
                axis.plot(ends, ends, color=plots.BLACK, lw=0.8, ls="--")
    counts = sorted(own["targets"].unique())
    handles = [
        plots.line(colour, "none", f"{count} targets", marker)
        for count, colour, marker in zip(counts, plots.CYCLE, MARKERS * 3, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _points(axis: Axes, table: pd.DataFrame, name: str) -> None:
    counts = sorted(table["targets"].unique())
    for count, colour, marker in zip(counts, plots.CYCLE, MARKERS * 3, strict=False):
        some = table[table["targets"] == count]
        axis.plot(some[name], some["critical"], ls="none", marker=marker, color=colour, mfc="none")
    plots.log_scale(axis.xaxis)
    plots.log_scale(axis.yaxis)


def sweep(found: Results) -> Figure:
    """Margin and F1 under jitter against tau_c, a line a hold window; and timing measured over predicted."""
    figure, axes = plots.grid(1, 3, 2.9)
    table = found.sweep[found.sweep["low"] > 0]
    for (hold, one), colour in zip(table.groupby("hold"), plots.CYCLE, strict=False):
        groups = one.groupby("tau_c")
        label = f"{hold:g} " + r"$\tau_c$"
        axes[0, 0].plot(groups["low"].mean().index, groups["low"].mean(), color=colour, marker="o", label=label)
        mean, error = groups["f1"].mean(), groups["f1"].sem()
        axes[0, 1].errorbar(mean.index, mean, error, color=colour, marker="o", label=label)
    for axis in axes[0, :2]:
        plots.log_scale(axis.xaxis)
        axis.set(xlabel=r"$\tau_c$, ms")
    plots.log_scale(axes[0, 0].yaxis)
    axes[0, 0].set(ylabel=r"$\kappa^*$", title="Margin")
    axes[0, 1].set(ylabel="F1", title=f"F1 at {found.settings('tsvm_sweep')['jitter']:g} ms of jitter")
    axes[0, 0].legend(title="hold window")
    timing = found.timing()
    for (kind, label), colour, marker in zip(KINDS.items(), plots.CYCLE, MARKERS, strict=False):
        one = timing[timing["kind"] == kind]
        name = label.split(",")[0].split(" /")[0]
        axes[0, 2].plot(one["predicted"], one["ratio"], ls="none", color=colour, marker=marker, label=name)
    plots.log_scale(axes[0, 2].xaxis)
    axes[0, 2].axhspan(0.9, 1.1, color=plots.GREY, alpha=0.2, lw=0)
    axes[0, 2].set(xlabel="predicted rms shift, ms", ylabel="measured / predicted", title="Timing", ylim=(0.5, 1.5))
    axes[0, 2].legend(loc="lower left")
    return figure


def xor(found: Results) -> Figure:
    """Margins of the exclusive-or by kernel, and noisy patterns on which each kernel's neuron is right."""
    figure, axes = plots.grid(1, 3, 3.2, gridspec_kw={"width_ratios": [0.8, 1, 1]})
    names = list(found.kernels["kernel"])
    colours = dict(zip(names, (plots.GREY, plots.BLACK, *plots.CYCLE), strict=False))
    places = np.arange(len(names))[::-1]
    feasible = found.kernels["status"].isin(["certified", "feasible"]).to_numpy()
    shown = [colours[name] for name in found.kernels["kernel"][feasible]]
    axes[0, 0].barh(places[feasible], found.kernels["low"][feasible], color=shown)
    for place, status in zip(places, found.kernels["status"], strict=True):
        if status not in ("certified", "feasible"):
            text = "proved to have none" if status == "infeasible" else status
            axes[0, 0].text(0.002, place, text, va="center", fontsize=7)
    axes[0, 0].set(yticks=places, yticklabels=names, xlabel=r"$\kappa^*$, each in its own norm", title="Margin")
    axes[0, 0].set_ylim(-0.6, len(names) - 0.4)
    axes[0, 0].grid(False, axis="y")
    for axis, kind in zip(axes[0, 1:], ("membrane", "jitter"), strict=True):
        one = found.xor[found.xor["kind"] == kind]
        for name, group in one.groupby("kernel", sort=False):
            error = np.sqrt(group["right"] * (1 - group["right"]) / group["patterns"])
            axis.errorbar(group["level"], group["right"], error, color=colours[name], marker="o", ms=3)
        axis.axhline(0.5, color=plots.BLACK, lw=0.6, ls="--")
        title = "Right under " + ("jitter" if kind == "jitter" else "membrane noise")
        axis.set(xlabel=KINDS[kind], title=title, ylim=(0.4, 1.02))
        plots.log_scale(axis.xaxis)
    axes[0, 1].set(ylabel="fraction of noisy patterns")
    return figure


def speech(found: Results) -> Figure:
    """Test accuracy on pairs of speakers by method, with binomial standard errors; and spikes on time."""
    figure, axes = plots.grid(1, 1, 3.0)
    table = found.speech
    methods = {
        "timed": ("T-SVM, spike at the end", plots.BLUE),
        "binary": ("T-SVM, spike at any time", plots.SKY),
        "tempotron": ("tempotron", plots.ORANGE),
        "svm": ("linear SVM, first spikes", plots.GREEN),
        "logistic": ("logistic regression, first spikes", plots.PURPLE),
        "on_time": ("of the T-SVM's firing class, on time", plots.GREY),
    }
    axis = axes[0, 0]
    places = np.arange(len(table))
    for i, (name, (label, colour)) in enumerate(methods.items()):
        p = table[name]
        error = np.sqrt(p * (1 - p) / table["n_firing" if name == "on_time" else "n_test"])
        axis.errorbar(places + 0.12 * (i - 2.5), p, error, ls="none", marker="os^Dv_"[i], color=colour, label=label)
    axis.hlines(table["chance"], places - 0.4, places + 0.4, color=plots.BLACK, lw=1, label="larger class")
    labels = [f"{a} silent, {b} fires" for _, a, b in (task.split("_") for task in table["task"])]
    axis.set(xticks=places, xticklabels=labels, ylabel="fraction of test patterns", title="Speakers of JapaneseVowels")
    axis.grid(False, axis="x")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
