"""Figures of what noise does to the T-SVM and to other methods, over kernels, and on speech."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.tsvm import summaries
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


def noise(results: Results) -> Figure:
    """Scores of the free neuron versus noise, for all methods.

    Above: F1 of spikes within 2 ms of the targets, mean and standard error over problems; below: share of trials
    without error. All methods are trained once on each problem, run to their end, and meet the same draws of noise.
    Jitter moves each input spike; synaptic noise scales each weight for a whole trial; membrane noise is white current
    filtered by both time constants.
    """
    kinds = [kind for kind in KINDS if kind in set(results.curves["kind"])]
    figure, axes = plots.grid(2, len(kinds), 2.5, sharey="row")
    for column, kind in enumerate(kinds):
        curves = results.curves[results.curves["kind"] == kind]
        for method, (_, colour, style) in METHODS.items():
            groups = curves[curves["method"] == method].groupby("level")
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
    shown = [method for method in METHODS if method in set(results.curves["method"])]
    handles = [plots.line(METHODS[method][1], METHODS[method][2], METHODS[method][0]) for method in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def prediction(results: Results) -> Figure:
    """Noise at which half of the T-SVM's trials fail versus what is predicted without a trial, one point per problem.

    Above: margin over the mean noise of the potential, a scale. Below: from the whole potential by rates of false
    spikes and odds of lost ones, a level; dashed: equality. Titles: partial rank correlation over problems given the
    number of targets, which ranks them by itself, with a 95 % bootstrap interval. Both predictions are our derivations.
    """
    kinds = [kind for kind in KINDS if kind in set(results.critical["kind"])]
    figure, axes = plots.grid(2, len(kinds), 2.7)
    critical = results.critical[results.critical["method"] == "tsvm"]
    ranks = results.ranks.set_index(["kind", "prediction"])
    for column, kind in enumerate(kinds):
        table = critical[critical["kind"] == kind]
        for row, (name, label) in enumerate(
            [("by_margin", r"$\kappa|w| / \langle\sigma_V\rangle$"), ("by_survival", "predicted by survival")]
        ):
            axis = axes[row, column]
            _points(axis, table, name)
            entry = ranks.loc[(kind, name)]
            interval = f"[{entry['partial_low']:.2f}, {entry['partial_high']:.2f}]"
            axis.set_title(f"{kind}: rank given targets\n{entry['partial']:.2f} {interval}", fontsize=8)
            axis.set(xlabel=f"{label}", ylabel="measured" if column == 0 else "")
            if name == "by_survival":
                both = table[[name, "critical"]]
                ends = [both.min().min(), both.max().max()]
                axis.plot(ends, ends, color=plots.BLACK, lw=0.8, ls="--")
    counts = sorted(critical["targets"].unique())
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


def sweep(results: Results) -> Figure:
    """What the precision scale tau_c and the hold window do, and how well shifts of spikes are predicted.

    Left: largest margin versus tau_c, one line per hold window. Middle: F1 of the free neuron under jitter, mean and
    standard error over problems. Right: measured over predicted shift of spikes, the resets' feedback included, versus
    the predicted one, if no trial has an error; grey: within 10 %.
    """
    figure, axes = plots.grid(1, 3, 2.9)
    table = results.sweep[results.sweep["low"] > 0]
    for (hold, rows), colour in zip(table.groupby("hold"), plots.CYCLE, strict=False):
        groups = rows.groupby("tau_c")
        label = f"{hold:g} " + r"$\tau_c$"
        axes[0, 0].plot(groups["low"].mean().index, groups["low"].mean(), color=colour, marker="o", label=label)
        mean, error = groups["f1"].mean(), groups["f1"].sem()
        axes[0, 1].errorbar(mean.index, mean, error, color=colour, marker="o", label=label)
    for axis in axes[0, :2]:
        plots.log_scale(axis.xaxis)
        axis.set(xlabel=r"$\tau_c$, ms")
    plots.log_scale(axes[0, 0].yaxis)
    axes[0, 0].set(ylabel=r"$\kappa^*$", title="Margin")
    axes[0, 1].set(ylabel="F1", title=f"F1 at {results.params.sweep.jitter:g} ms of jitter")
    axes[0, 0].legend(title="hold window")
    timing = summaries.timing(results.curves)
    for (kind, label), colour, marker in zip(KINDS.items(), plots.CYCLE, MARKERS, strict=False):
        shifts = timing[timing["kind"] == kind]
        name = label.split(",")[0].split(" /")[0]
        axes[0, 2].plot(shifts["predicted"], shifts["ratio"], ls="none", color=colour, marker=marker, label=name)
    plots.log_scale(axes[0, 2].xaxis)
    axes[0, 2].axhspan(0.9, 1.1, color=plots.GREY, alpha=0.2, lw=0)
    axes[0, 2].set(xlabel="predicted rms shift, ms", ylabel="measured / predicted", title="Timing", ylim=(0.5, 1.5))
    axes[0, 2].legend(loc="lower left")
    return figure


def xor(results: Results) -> Figure:
    """The exclusive-or over kernels.

    Left: proved margins by kernel, each in its own norm, so that they do not compare; kernels without a margin are
    proved to have none. Middle and right: share of noisy patterns on which the neuron of each kernel is right, with
    binomial standard errors, the same draws for all; dashed: what silence gives.
    """
    figure, axes = plots.grid(1, 3, 3.2, gridspec_kw={"width_ratios": [0.8, 1, 1]})
    names = list(results.xor_margins["kernel"])
    colours = dict(zip(names, (plots.GREY, plots.BLACK, *plots.CYCLE), strict=False))
    places = np.arange(len(names))[::-1]
    feasible = results.xor_margins["status"].isin(["certified", "feasible"]).to_numpy()
    shown = [colours[name] for name in results.xor_margins["kernel"][feasible]]
    axes[0, 0].barh(places[feasible], results.xor_margins["low"][feasible], color=shown)
    for place, status in zip(places, results.xor_margins["status"], strict=True):
        if status not in ("certified", "feasible"):
            text = "proved to have none" if status == "infeasible" else status
            axes[0, 0].text(0.002, place, text, va="center", fontsize=7)
    axes[0, 0].set(yticks=places, yticklabels=names, xlabel=r"$\kappa^*$, each in its own norm", title="Margin")
    axes[0, 0].set_ylim(-0.6, len(names) - 0.4)
    axes[0, 0].grid(False, axis="y")
    for axis, kind in zip(axes[0, 1:], ("membrane", "jitter"), strict=True):
        scores = results.xor_noise[results.xor_noise["kind"] == kind]
        for name, group in scores.groupby("kernel", sort=False):
            error = np.sqrt(group["right"] * (1 - group["right"]) / group["patterns"])
            axis.errorbar(group["level"], group["right"], error, color=colours[name], marker="o", ms=3)
        axis.axhline(0.5, color=plots.BLACK, lw=0.6, ls="--")
        title = "Right under " + ("jitter" if kind == "jitter" else "membrane noise")
        axis.set(xlabel=KINDS[kind], title=title, ylim=(0.4, 1.02))
        plots.log_scale(axis.xaxis)
    axes[0, 1].set(ylabel="fraction of noisy patterns")
    return figure


def speech(results: Results) -> Figure:
    """Test accuracy on pairs of speakers of JapaneseVowels, with binomial standard errors.

    Also the share of the firing speaker's utterances with exactly one spike, on time. For the T-SVM with a spike at the
    end, one more afferent announces the end, whoever speaks. Tempotron and logistic regression are the tempotron
    study's, on the same inputs.
    """
    figure, axes = plots.grid(1, 1, 3.0)
    table = results.speech
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
