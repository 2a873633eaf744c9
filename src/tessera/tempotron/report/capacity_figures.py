"""Figures of the tempotron's capacity: theory, what learning finds, exact existence, what the rule's parts do."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.tempotron.report.results import Results

#: Colours of K.
K_COLOURS = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.PURPLE, plots.SKY, plots.RED)
MARKERS = "os^Dv"


def capacity(results: Results) -> Figure:
    """Left: patterns per synapse against the number K of independent times in a pattern. Right: the fractions of
    tasks that learning solves, by load; dotted, the smaller neuron.

    Lines: replica theory of K independent bins, replica symmetric (RS) and with one step of symmetry breaking (1RSB;
    dashed, without overlap between clusters), and of the neuron's own potential in continuous time, with 95 %
    intervals over sampled traces. Points: load at which the learning rule solves half of the tasks within its epochs,
    a lower bound on capacity, with 95 % intervals over tasks. The leading order, ln ln K / (2 ln 2), holds only at
    astronomically large K.
    """
    figure, axes = plots.grid(1, 2, 3.6)
    _theory(axes[0, 0], results)
    _solved(axes[0, 1], results.findable)
    return figure


def _theory(axis: Axes, results: Results) -> None:
    bins, process = results.capacity, results.continuous
    several = bins[bins["k"] > 1]
    axis.plot(bins["k"], bins["replica_symmetric"], color=plots.GREY)
    axis.plot(bins["k"], bins["one_step"], color=plots.BLUE)
    axis.plot(several["k"], several["zero_overlap"], color=plots.BLUE, ls="--", lw=1)
    leading = bins[bins["k"] >= 3]
    axis.plot(leading["k"], leading["leading"], color=plots.GREY, ls=":", lw=1.2)
    axis.axhline(2, color=plots.BLACK, lw=0.8)
    ends = [("RS, bins", bins["replica_symmetric"].iloc[-1], plots.GREY)]
    ends += [("1RSB, bins", bins["one_step"].iloc[-1], plots.BLUE), ("perceptron", 2.0, plots.BLACK)]
    ends += [("leading order", leading["leading"].iloc[-1], plots.GREY)] if len(leading) else []
    if len(process):
        axis.errorbar(
            process["k"], process["zero_overlap"], 1.96 * process["error"], color=plots.ORANGE, marker="s", ms=3
        )
    for i, (n, rows) in enumerate(results.crossings.dropna(subset=["load"]).groupby("n")):
        # An end of the interval outside the loads tried is not drawn.
        errors = np.vstack([rows["load"] - rows["low"], rows["high"] - rows["load"]]).clip(min=0)
        axis.errorbar(
            rows["k"] * 1.05**i, rows["load"], np.nan_to_num(errors), color=plots.GREEN if i else plots.SKY,
            ls="none", marker=MARKERS[i % len(MARKERS)], label=f"learning finds, N = {n}",
        )  # fmt: skip
    handles, _ = axis.get_legend_handles_labels()
    theory = [plots.line(plots.BLUE, "--", label=r"1RSB, bins, $q_0 = 0$")]
    theory += [plots.line(plots.ORANGE, "-", label=r"1RSB, process, $q_0 = 0$", marker="s")] if len(process) else []
    axis.set(ylim=(0, None), xlabel=r"independent times K = $T/\sqrt{\tau_m \tau_s}$", ylabel=r"load $\alpha$ = P/N")
    axis.set_title("Capacity", pad=10)
    plots.log_scale(axis.xaxis)
    axis.legend(handles=[*theory, *handles], loc="upper left")
    plots.label_ends(axis.figure, {axis: ends})


def _solved(axis: Axes, runs: pd.DataFrame) -> None:
    largest = runs["n"].max()
    for colour, (k, of_k) in zip(K_COLOURS, runs.groupby("k"), strict=False):
        for n, group in of_k.groupby("n"):
            fraction = group.groupby("load")["solved"].mean()
            style = {"ls": "-", "marker": "o"} if n == largest else {"ls": ":", "marker": "", "lw": 1.2}
            axis.plot(fraction.index, fraction, color=colour, label=f"K = {k:g}, N = {n}", **style)
    axis.set(xlabel=r"load $\alpha$", ylabel="solved fraction", ylim=(-0.03, 1.03))
    axis.set_title("What learning solves within its epochs", pad=10)
    axis.legend(loc="lower left")


def existence(results: Results) -> Figure:
    """Fraction of random tasks that some weights solve, decided by mixed-integer programming, with binomial standard
    errors; shaded, undecided tasks.

    At K = 1 it must agree with Cover's count. Dotted: capacity at many synapses by one-step theory.
    """
    figure, axes = plots.grid(1, 1, 3.6)
    axis = axes[0, 0]
    table, theory = results.solvable(), results.capacity.set_index("k")["one_step"]
    for colour, ((k, n), rows) in zip(K_COLOURS, table.groupby(["k", "n"]), strict=False):
        load = rows["patterns"] / n
        axis.errorbar(load, rows["fraction"], rows["error"], marker="o", color=colour, label=f"K = {k}, N = {n}")
        if rows["undecided"].any():  # what they would add if all were solvable
            top = rows["fraction"] + rows["undecided"] / rows["runs"]
            axis.fill_between(load, rows["fraction"], top, color=colour, alpha=0.2, lw=0)
        if k in theory.index:
            axis.axvline(theory[k], color=colour, lw=1, ls=":")
        if k == 1:
            axis.plot(load, rows["cover"], ls="none", marker="_", ms=14, color=plots.BLACK, label="Cover, K = 1, exact")
    axis.set(xlabel=r"load $\alpha$ = P/N; dotted: theory for large N", ylabel="solvable fraction", ylim=(-0.03, 1.03))
    axis.legend(loc="lower left")
    return figure


def ablation(results: Results) -> Figure:
    """Left: fraction of tasks solved by learning rate, for each momentum (points shifted sideways). Right: effect of
    a margin in training on the accuracy on the same patterns with jittered spikes (± one standard error over tasks),
    and on the solved fraction."""
    figure, axes = plots.grid(1, 2, 3.0)
    rates, margins = axes[0]
    plain = results.ablation[results.ablation["margin"] == 0]
    for i, (momentum, rows) in enumerate(plain.groupby("momentum")):
        fraction = rows.groupby("rate")["solved"].mean()
        # Equal fractions would hide one another.
        style = {"marker": MARKERS[i % 5], "color": K_COLOURS[i % 6]}
        rates.plot(fraction.index * 1.06**i, fraction, label=f"momentum {momentum:g}", **style)
    rates.set(xlabel=r"learning rate $\lambda$ (thresholds)", ylabel="solved fraction", ylim=(-0.05, 1.05))
    plots.log_scale(rates.xaxis)
    rates.legend()
    best = results.ablation[results.ablation["momentum"] == results.ablation["momentum"].max()]
    with_margin = best.loc[best["margin"] > 0, "rate"]
    compared = best[best["rate"] == with_margin.max()] if len(with_margin) else best
    for colour, name, label in (
        (plots.BLUE, "jittered_accuracy", "accuracy under jitter"),
        (plots.ORANGE, "solved", "solved fraction"),
    ):
        groups = compared.groupby("margin")[name]
        error = groups.sem() if name != "solved" else None
        margins.errorbar(groups.mean().index, groups.mean(), error, color=colour, marker="o", label=label)
    margins.set(xlabel=r"margin $\kappa$ (thresholds)", ylim=(-0.05, 1.05))
    margins.legend(loc="lower left")
    return figure


def trace(results: Results) -> Figure:
    """Potential of one pattern that must fire, in closed form and by Brian2 on its time grid, with the exact
    maximum."""
    figure, axes = plots.grid(1, 1, 2.6)
    axis, table = axes[0, 0], results.trace
    axis.plot(table["time"], table["exact"], lw=1.2, color=plots.BLUE, label="closed form")
    shown = table.iloc[:: max(len(table) // 250, 1)]
    axis.plot(shown["time"], shown["brian"], ls="none", marker=".", ms=4, color=plots.ORANGE, label="Brian2")
    axis.plot(
        table["t_max"].iloc[0], table["v_max"].iloc[0], ls="none", marker="v", color=plots.RED, label="exact maximum"
    )
    axis.axhline(1, color=plots.BLACK, lw=0.8, ls="--", label="threshold")
    axis.set(xlabel="t (ms)", ylabel=r"V / $\theta$", xlim=(0, table["time"].max()))
    axis.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    return figure
