"""Figures of the T-SVM's margins: a potential with its envelope, certificates by round, margins against load."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.tsvm import summaries
from tessera.tsvm.report.results import Results

PROBLEM_COLOURS = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.PURPLE, plots.SKY, plots.RED)
#: Markers of the kinds of support vectors, with what they are.
SUPPORT = {"h": ("o", "before a target"), "hold": ("s", "in a hold window"), "slope": ("^", "slope at a target")}
#: ms around one target that the second panel shows.
AROUND = (-12.0, 8.0)


def voltage(results: Results) -> Figure:
    """The potential of a trained neuron over a pattern, in units of the threshold; below, around one target.

    Grey: the largest margin's upper bound, relaxed within tau_c before the next target; light blue: the lower bound in
    the hold windows after targets, for the potential without the last reset (dotted). Red: temporal support vectors,
    the times at which a bound is met. This is our formulation of a dynamical margin, motivated by Rubin and Sompolinsky
    (2022); the figure is not theirs.
    """
    trace = results.trace
    support = results.support
    targets = _targets(trace)
    figure, axes = plots.grid(2, 1, 2.4, gridspec_kw={"height_ratios": [1.15, 1]})
    for axis in axes[:, 0]:
        axis.plot(trace["time"], trace["upper"], color=plots.GREY, lw=1)
        axis.plot(trace["time"], trace["lower"], color=plots.SKY, lw=1.2)
        axis.plot(trace["time"], trace["unreset"], color=plots.BLUE, lw=1, ls=":")
        axis.plot(trace["time"], trace["potential"], color=plots.BLUE, lw=1.1)
        axis.axhline(1, color=plots.BLACK, lw=0.6, ls="--")
        axis.plot(targets, np.ones(len(targets)), ls="none", marker="|", ms=9, color=plots.BLACK)
        for kind, (marker, _) in SUPPORT.items():
            vectors = support[support["kind"] == kind]
            at, height = vectors["time"], vectors["potential"]
            if kind == "hold":
                height = np.interp(at, trace["time"], trace["lower"])
            axis.plot(at, height, ls="none", marker=marker, color=plots.RED, ms=4, mfc="none")
        axis.set(ylabel=r"V / $\theta$")
    low = trace["potential"].min()
    top = max(1.9, float(trace["lower"].max()) + 0.1)
    shown = targets[len(targets) // 2]
    axes[0, 0].set(xlim=(0, trace["time"].max()), ylim=(low - 0.1, top))
    axes[1, 0].set(xlim=(shown + AROUND[0], shown + AROUND[1]), ylim=(-0.6, top), xlabel="time, ms")
    axes[0, 0].set_title(f"Problem {trace['problem'].iloc[0]}")
    axes[1, 0].set_title("One of its targets")
    handles = [
        plots.line(plots.BLUE, "-", "potential"),
        plots.line(plots.BLUE, ":", "without the last reset"),
        plots.line(plots.GREY, "-", r"bound above, $\theta - \kappa|w|g$"),
        plots.line(plots.SKY, "-", "bound below, hold window"),
        *[plots.line(plots.RED, "none", f"support, {label}", marker) for marker, label in SUPPORT.values()],
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _targets(trace: pd.DataFrame) -> np.ndarray:
    """Times at which both V and its bound are theta to rounding."""
    at = (np.abs(trace["upper"] - 1) < 1e-9) & (np.abs(trace["potential"] - 1) < 1e-6)
    return trace.loc[at, "time"].to_numpy()


def certificate(results: Results) -> Figure:
    """How the proof of the largest margin closes, and how near the online rule comes, with hold windows of tau_c.

    Left: proved bounds on the margin versus rounds of the cutting planes (solid: lower, dashed: upper), relative to the
    last upper bound. Middle: their relative gap; the solver stops at the dashed line. Right: relative distance of the
    online rule's best margin from the largest, versus its steps.
    """
    figure, axes = plots.grid(1, 3, 2.9)
    held = results.rounds[results.rounds["variant"] == "hold"]
    names = sorted(held["problem"].unique())
    for colour, name in zip(PROBLEM_COLOURS, names, strict=False):
        rounds = held[held["problem"] == name]
        final = rounds["up"].iloc[-1]
        axes[0, 0].plot(rounds["round"], rounds["up"] / final, color=colour, ls="--")
        axes[0, 0].plot(rounds["round"], rounds["low"] / final, color=colour, marker="o", ms=3, label=name)
        gap = 1 - rounds["low"] / rounds["up"]
        axes[0, 1].semilogy(rounds["round"], gap, color=colour, marker="o", ms=3, label=name)
        online = results.steps[results.steps["problem"] == name]
        axes[0, 2].loglog(online["step"], 1 - online["margin"] / final, color=colour, label=name)
    axes[0, 0].set(xlabel="round", ylabel=r"bounds / $\kappa^*$", ylim=(0, 1.6), title="Bounds")
    axes[0, 1].set(xlabel="round", ylabel="(up - low) / up", title="Gap of the certificate")
    axes[0, 2].set(xlabel="step", ylabel=r"1 - $\kappa$ / $\kappa^*$", title="Online rule")
    axes[0, 1].axhline(1e-6, color=plots.BLACK, lw=0.6, ls="--")
    axes[0, 0].legend(title="problem", loc="upper right")
    return figure


def load(results: Results) -> Figure:
    """Random problems versus desired spikes per synapse.

    Left: fraction of problems for which weights with a margin were found (blue, with binomial standard errors), and for
    which the first-error perceptron came within 1 ms of every target (orange). Middle: their margins, median and
    quartiles. Right: F1 of the free neuron's spikes within 2 ms, without noise, with standard errors over problems.
    """
    figure, axes = plots.grid(1, 3, 2.9)
    table = summaries.loads(results.load)
    _feasible(axes[0, 0], table)
    some = table[table["feasible"] > 0]
    errors = [some["margin_median"] - some["margin_low"], some["margin_high"] - some["margin_median"]]
    axes[0, 1].errorbar(some["load"], some["margin_median"], errors, color=plots.BLUE, marker="o")
    axes[0, 1].set(
        yscale="log", xlabel="desired spikes per synapse", ylabel=r"$\kappa$", title="Margin, where feasible"
    )
    for name, colour, marker, label in (
        ("soft_f1", plots.BLUE, "o", "soft T-SVM"),
        ("perceptron_f1", plots.ORANGE, "s", "perceptron"),
    ):
        axes[0, 2].errorbar(
            table["load"], table[name], table[f"{name}_error"], color=colour, marker=marker, label=label
        )
    axes[0, 2].set(xlabel="desired spikes per synapse", ylabel="F1", title="Free-running score", ylim=(None, 1.02))
    axes[0, 2].legend(loc="lower left")
    return figure


def _feasible(axis: Axes, table: pd.DataFrame) -> None:
    axis.errorbar(table["load"], table["feasible"], table["feasible_error"], color=plots.BLUE, marker="o")
    axis.plot(
        table["load"], table["perceptron_converged"], color=plots.ORANGE, marker="s", ls="--",
        label="perceptron, within 1 ms",
    )  # fmt: skip
    axis.plot([], [], color=plots.BLUE, marker="o", label="margin proved")
    axis.set(xlabel="desired spikes per synapse", ylabel="fraction of problems", title="Feasible", ylim=(-0.03, 1.05))
    axis.legend(loc="lower left")
