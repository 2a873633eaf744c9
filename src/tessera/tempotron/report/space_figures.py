"""Figures of the tempotron's potential, of the space of its solutions, and of real inputs."""

import numpy as np
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.tempotron import maximum as laws
from tessera.tempotron.report.capacity_figures import K_COLOURS
from tessera.tempotron.report.results import Results

LAW_NAMES = {"rice": "Rice", "gumbel": "Gumbel(a, 1/a)", "gumbel_iid": "Gumbel, K i.i.d.", "iid": r"$\Phi(h)^K$"}
LAW_COLOURS = {"rice": plots.RED, "gumbel": plots.PURPLE, "gumbel_iid": plots.ORANGE, "iid": plots.GREEN}
SOURCE_NAMES = {"process": "Gaussian process", "poisson": "neuron, Poisson", "single": "neuron, one spike"}
SOURCE_STYLES = {
    "process": {"color": plots.BLACK, "lw": 2.4, "alpha": 0.35},
    "poisson": {"color": plots.BLUE, "lw": 1.2},
    "single": {"color": plots.SKY, "lw": 1.2},
}
INPUT_NAMES = {"bins": "bins", "single": "one spike", "poisson": "Poisson"}


def maximum(results: Results) -> Figure:
    """Law of the largest potential of a pattern, in standard deviations of the potential. Below: differences from the
    Gaussian process.

    A Gaussian process sampled exactly, a neuron of many synapses with Poisson input or one spike per synapse, and four
    candidate laws.
    """
    table = results.maximum
    ks = sorted(table["k"].unique())
    figure, axes = plots.grid(2, len(ks), 2.3, sharex=True, sharey="row")
    for (top, bottom), k in zip(axes.T, ks, strict=True):
        samples = {name: rows["h"].to_numpy() for name, rows in table[table["k"] == k].groupby("source")}
        p = (np.arange(len(samples["process"])) + 0.5) / len(samples["process"])
        h = np.linspace(0, 5, 300)
        base = np.interp(h, samples["process"], p, left=0, right=1)
        for name in LAW_NAMES:
            law = laws.law(name, h, k)
            top.plot(h, law, color=LAW_COLOURS[name], lw=1, ls="--", label=LAW_NAMES[name])
            bottom.plot(h, law - base, color=LAW_COLOURS[name], lw=1, ls="--")
        for name in SOURCE_NAMES:
            top.plot(samples[name], p, label=SOURCE_NAMES[name], **SOURCE_STYLES[name])
            if name != "process":
                bottom.plot(h, np.interp(h, samples[name], p, left=0, right=1) - base, **SOURCE_STYLES[name])
        top.set_title(f"K = {k:g}")
        bottom.set_xlabel(r"h = max V / $\sigma_V$")
        bottom.axhline(0, color=plots.BLACK, lw=0.8)
    axes[0, 0].set_ylabel("P(max V < h)")
    axes[1, 0].set_ylabel("difference from\nthe Gaussian process")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return figure


def planted(results: Results) -> Figure:
    """Overlap of two typical solutions against the load, by replica theory of K bins (uniform solutions, no overlap
    between clusters). Where a curve bends back, close solutions coexist with distant ones."""
    figure, axes = plots.grid(1, 1, 3.2)
    axis = axes[0, 0]
    for colour, (k, rows) in zip(K_COLOURS, results.planted.groupby("k"), strict=False):
        axis.plot(rows["load"], rows["q"], color=colour, label=f"K = {k:g}")
    axis.set(xlabel=r"load $\alpha$", ylabel="overlap q of typical solutions", xlim=(0, 4.5), ylim=(0, 1))
    axis.legend()
    return figure


def overlaps(results: Results) -> Figure:
    """Solutions of one task that independent starts of the rule find. Above: overlaps of pairs, after removing the
    direction that all share. Below: the worst accuracy on the straight line between the two.

    The perceptron (K = 1) is the control: its solutions are convex, so every line must be at 1. A blocked line does
    not prove that no curved path exists.
    """
    groups = list(results.solutions.groupby(["inputs", "load"]))
    ks = sorted(results.solutions["k"].unique())
    colours = dict(zip(ks, K_COLOURS, strict=False))
    low = min(-0.3, results.solutions["overlap_centred"].min())
    edges = np.arange(np.floor(low * 20) / 20, 1.001, 0.05)
    figure, axes = plots.grid(2, max(len(groups), 1), 2.3, sharex=True, sharey="row")
    for (top, bottom), ((inputs, load), group) in zip(axes.T, groups, strict=False):
        for k, pairs in group.groupby("k"):
            overlap, style = pairs["overlap_centred"], {"color": colours[k]}
            weights = np.full(len(pairs), 1 / len(pairs))
            top.hist(overlap, edges, weights=weights, histtype="step", lw=1.4, **style)
            bottom.plot(overlap, pairs["chord_accuracy"], ls="none", marker=".", ms=4, alpha=0.7, **style)
        top.set_title(rf"{INPUT_NAMES[inputs]}, $\alpha$ = {load:g}")
        bottom.set_xlabel("overlap of two solutions")
    axes[0, 0].set_ylabel("share of pairs")
    axes[1, 0].set_ylabel("worst accuracy\non the chord")
    handles = [plots.line(colours[k], label=f"K = {k}") for k in ks]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(ks))
    return figure


def walk(results: Results) -> Figure:
    """Overlap of a random walk within the solutions with the solution where it started, one panel per load.

    How far the walk gets shows how large the connected region is around what learning found.
    """
    walks = sorted((row for row in results.summaries if row["walk"]), key=lambda row: (row["inputs"], row["k"]))
    loads = sorted({row["load"] for row in walks})
    colours = dict(zip(sorted({row["k"] for row in walks}), K_COLOURS, strict=False))
    figure, axes = plots.grid(1, max(len(loads), 1), 3.0, sharey=True)
    for axis, load in zip(axes[0], loads, strict=False):
        for row in walks:
            if row["load"] == load:
                steps, q = np.array(row["walk"]).T
                style = {"color": colours[row["k"]], "ls": "-" if row["inputs"] == "bins" else "--"}
                axis.plot(steps + 1, q, label=f"{INPUT_NAMES[row['inputs']]}, K = {row['k']}", **style)
        axis.set(xlabel="steps of the walk, + 1", title=rf"$\alpha$ = {load:g}")
        plots.log_scale(axis.xaxis)
        axis.legend(loc="lower left")
    axes[0, 0].set_ylabel("overlap with the start")
    return figure


def real(results: Results) -> Figure:
    """Left: test accuracy on real inputs, of the tempotron and of logistic regression on the first spike of each
    afferent, with binomial standard errors. Right: law of the largest potential on recorded auditory receptors of the
    grasshopper, with the Rice law at the K of the recording and at that of Poisson input.

    Digits are coded by latency, speech (JapaneseVowels) by level crossings; splits keep writers together and, for
    speech, are those of the data set.
    """
    figure, axes = plots.grid(1, 2, 3.4)
    bars, maxima = axes[0]
    table = results.accuracy()
    place = np.arange(len(table))
    colours = {"tempotron": plots.BLUE, "logistic": plots.ORANGE, "chance": "#C9C9C9"}
    for i, (name, colour) in enumerate(colours.items()):
        error = None if name == "chance" else table[f"{name}_error"]
        label = {"logistic": "logistic regression", "chance": "larger class"}.get(name, name)
        bars.bar(place + 0.27 * (i - 1), table[name], 0.25, yerr=error, color=colour, label=label)
    bars.set_xticks(place, [_task(name) for name in table["task"]], rotation=45, ha="right")
    bars.set(ylabel="test accuracy", ylim=(0.4, 1.01))
    bars.grid(axis="x", visible=False)
    bars.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    law = results.receptors
    h, k, k_poisson = np.linspace(0, 5, 300), law["k"].iloc[0], law["k_poisson"].iloc[0]
    maxima.plot(law["h"], law["p"], lw=2.2, color=plots.BLUE, label="recorded receptors")
    measured, poisson = laws.law("rice", h, k), laws.law("rice", h, k_poisson)
    maxima.plot(h, measured, color=plots.BLACK, lw=1, ls="--", label=f"Rice, K = {k:.0f} (measured)")
    maxima.plot(h, poisson, color=plots.GREY, lw=1, ls=":", label=f"Rice, K = {k_poisson:.0f} (Poisson)")
    maxima.set(xlabel=r"h = max V / $\sigma_V$", ylabel="P(max V < h)")
    maxima.legend(loc="lower right")
    return figure


def _task(name: str) -> str:
    """`digits 3, 8` for digits_3_8."""
    source, null, target = name.split("_")
    return f"{source} {null}, {target}"
