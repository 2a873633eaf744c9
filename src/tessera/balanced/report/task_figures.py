"""Figures of single neurons and random tasks: critical loads, margins, their scaling, and the weights."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tessera.balanced import finite_size, summaries
from tessera.balanced.proportions import wilson
from tessera.balanced.report.results import COLOURS, OBJECTIVES, Results
from tessera.balanced.theory import Afferents
from tessera.common import plots

KINDS = {"any": ("any solution", plots.GREEN), "balanced": ("a balanced solution", plots.RED)}
INPUTS = {"gaussian": ("Gaussian", "o"), "exponential_gamma": ("exponential, gamma", "s")}
TYPES = {"exc": "excitatory", "inh": "inhibitory"}


def _legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """One legend for all panels, below them."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns)


def capacity(results: Results) -> Figure:
    """Critical loads of a perceptron under Dale's law against the fraction of excitatory afferents, for three
    ratios of the variation of excitatory and inhibitory activity.

    Lines: theory as N goes to infinity, and dashed the balanced load at the size of the tasks. Markers: load at
    which half of the random tasks are solvable, with 95 % intervals of the logistic fit. Dotted: the fraction
    at which the balanced load is largest.
    """
    p = results.params
    curves = results.theory["capacity"]
    figure, axes = plots.grid(1, len(curves), 2.9, sharey=True)
    names = {value: name for name, value in p.feasibility.cv_ratios.items()}
    for axis, curve in zip(axes[0], curves, strict=True):
        for kind, load, symbol in (("any", "alpha_c", r"$\alpha_c$"), ("balanced", "alpha_b", r"$\alpha_b$")):
            title, colour = KINDS[kind]
            axis.plot(
                results.theory["fractions"],
                curve[load],
                color=colour,
                label=rf"{symbol}, {title}, theory, $N\to\infty$",
            )
        axis.axvline(curve["optimal"], color=plots.GREY, lw=0.8, ls=":")
        axis.set(xlabel=r"excitatory fraction $f_{exc}$", title=rf"$\varphi = CV_E/CV_I$ = {curve['cv_ratio']:.3g}")
        name = names.get(curve["cv_ratio"])
        if name in results.feasibility and p.feasibility.p_out == p.theory.p_out:
            table = summaries.half_loads(results.feasibility[name], p.theory.p_out, curve["cv_ratio"])
            table = table[table["n"] == table["n"].max()]
            n = int(table["n"].iloc[0])
            fractions = np.linspace(0.02, 0.98, 49)
            loads = [
                finite_size.critical_balanced_load(Afferents(f, p.theory.p_out, curve["cv_ratio"]), n)
                for f in fractions
            ]
            axis.plot(fractions, loads, "--", color=plots.RED, lw=1, label=rf"$\alpha_b$ at N = {n}, theory")
            for (kind, (_, colour)), marker in zip(KINDS.items(), "so", strict=True):
                rows = table[table["kind"] == kind]
                label = f"half of the tasks solvable, N = {n}"
                axis.errorbar(
                    rows["f_exc"], rows["half"], 1.96 * rows["se"], fmt=marker, color=colour, mfc="white", label=label
                )
    axes[0, 0].set_ylabel(r"load $\alpha = P/N$")
    axes[0, 0].set_ylim(bottom=0)
    _legend_below(figure, max(axes[0], key=lambda axis: len(axis.get_legend_handles_labels()[1])), 3)
    return figure


def feasibility(results: Results) -> Figure:
    """Share of random tasks that have a solution of any norm, or a balanced one, against the load in units of the
    critical load of the theory; bars are 95 % Wilson intervals.

    The table has the loads at which half of the tasks are solvable. As the number of afferents grows the step
    steepens and moves to 1.
    """
    figure, axes = plots.grid(len(results.feasibility), 2, 2.3, sharey=True, sharex=True)
    ratios = results.params.feasibility.cv_ratios
    for row, (name, table) in zip(axes, results.feasibility.items(), strict=True):
        main = table[table["f_exc"] == results.params.feasibility.f_exc]
        for axis, kind in zip(row, KINDS, strict=True):
            for n, rows in main[main["kind"] == kind].groupby("n"):
                share, low, high = wilson(rows["solved"], rows["trials"])
                axis.errorbar(
                    rows["alpha"] / rows["critical"], share, [share - low, high - share], marker="o", label=f"N = {n}"
                )
            axis.axvline(1, color=plots.GREY, lw=0.8, ls=":")
            axis.set_title(rf"{KINDS[kind][0]}, $\varphi$ = {ratios[name]:.3g}")
        row[0].set_ylabel("fraction solvable")
    for axis in axes[-1]:
        axis.set_xlabel("load / critical load of the theory")
    axes[0, 0].legend(loc="lower left")
    return figure


def margins(results: Results) -> Figure:
    """Largest margins of random tasks against the load, mean and standard error over tasks.

    Solid: theory as N goes to infinity; dashed: with the correction of order 1/sqrt(N); dotted curve: the
    unbalanced branch above the largest balanced load, which the vertical line marks. The table has all means.
    """
    p, theory = results.params, results.theory
    figure, axes = plots.grid(1, 3, 3.3)
    loads, limit = np.array(theory["loads"]), {k: np.array(v, float) for k, v in theory["limit"].items()}
    below = loads < theory["alpha_b"]
    out, free, inverse = axes[0]
    out.plot(loads[below], theory["norm"] * limit["kappa_out"][below], color=plots.BLACK, label=r"$N\to\infty$")
    # Above the balanced load the largest output margin is kappa_0 CV_E/sqrt(N), whatever the norm.
    scaled = limit["kappa_0"] * p.margins.afferents.cv_exc / np.sqrt(p.margins.size)
    out.plot(loads, scaled, ":", color=plots.BLACK)
    free.plot(loads, limit["kappa_in"], color=plots.BLACK)
    for curve, colour in zip(theory["finite"], (plots.SKY, plots.GREEN, plots.PURPLE, plots.YELLOW), strict=False):
        value = np.array(curve["kappa_out"])
        out.plot(loads, np.where(value > 0, value, np.nan), "--", color=colour, label=f"N = {curve['n']}, theory")
        inverse.plot(loads, 1 / np.array(curve["kappa_out_of_kappa_in"], float), "--", color=colour)
    for inputs, rows in results.margins.items():
        title, marker = INPUTS[inputs]
        table = summaries.margin_table(rows)
        table = table[table["n"] == p.margins.size]
        for axis, objective, column in (
            (out, "kappa_out", "kappa_out"),
            (free, "kappa_in", "kappa_in"),
            (inverse, "kappa_in", "inverse"),
        ):
            means = table[(table["objective"] == objective) & (table[column] > 0)]
            colour = COLOURS["kappa_out"] if inputs == "gaussian" else plots.ORANGE
            axis.errorbar(
                means["alpha"],
                means[column],
                means[f"{column}_sem"],
                fmt=marker,
                color=colour,
                mfc="white",
                label=f"{title} inputs, N = {p.margins.size}",
            )
    out.set(title=rf"largest $\kappa_{{out}}$, $|w| \leq$ {p.margins.norm:g}", ylabel="threshold units")
    free.set(title=r"largest $\kappa_{in}$", ylabel="units of the activity")
    inverse.set(title=r"$1/\kappa_{out}$ of the max-$\kappa_{in}$ weights", ylabel="1 / threshold units")
    for axis in axes[0]:
        axis.axvline(theory["alpha_b"], color=plots.GREY, lw=0.8, ls=":")
        axis.set_xlabel(r"load $\alpha$")
        plots.log_scale(axis.yaxis)
    _legend_below(figure, out, 3)
    return figure


def scaling(results: Results) -> Figure:
    """Output margin and imbalance of the two optimal solutions against the number of afferents, mean and standard
    error over tasks, with the theory at finite N.

    With weights of largest output margin it tends to a constant and the imbalance vanishes; with weights of
    largest input margin it is the other way round.
    """
    p = results.params.margins
    figure, axes = plots.grid(1, 2, 3.3)
    for inputs, rows in results.margins.items():
        title, marker = INPUTS[inputs]
        table = summaries.margin_table(rows)
        table = table[(table["alpha"] == p.scaling_load) & table["n"].isin(p.sizes)]
        for objective, colour in COLOURS.items():
            means = table[table["objective"] == objective]
            for axis, column in zip(axes[0], ("kappa_out", "imbalance"), strict=True):
                axis.errorbar(
                    means["n"],
                    means[column].abs(),
                    means[f"{column}_sem"],
                    fmt=marker,
                    color=colour,
                    mfc="white",
                    label=f"{OBJECTIVES[objective]}, {title} inputs",
                )
    sizes = np.unique(np.geomspace(min(p.sizes), max(p.sizes), 12).round().astype(int)).tolist()
    predicted = {n: summaries.predicted_margins(p, n, p.scaling_load) for n in sizes}
    for objective, colour in COLOURS.items():
        known = [(n, solution) for n in sizes if (solution := predicted[n][objective])]
        for axis, values in (
            (axes[0, 0], [solution.kappa_out for _, solution in known]),
            (axes[0, 1], [abs(solution.side.imbalance) for _, solution in known]),
        ):
            axis.plot([n for n, _ in known], values, color=colour, label=f"{OBJECTIVES[objective]}, theory")
    for axis, name in zip(axes[0], (r"$\kappa_{out}$, threshold units", "|imbalance|"), strict=True):
        axis.set(xscale="log", xlabel="N", ylabel=name, title=rf"$\alpha$ = {p.scaling_load:g}")
        plots.log_scale(axis.yaxis)
        axis.set_xticks(p.sizes, [str(n) for n in p.sizes])
        axis.minorticks_off()
    _legend_below(figure, axes[0, 0], 3)
    return figure


def weights(results: Results) -> Figure:
    """Densities of the optimal weights by type, silent synapses left out, with the truncated Gaussians that the
    theory predicts.

    Their area is the share of synapses that are not silent. The table has that share and the largest difference
    between measured and predicted distribution, the atom at zero included.
    """
    p = results.params.margins
    n = max(p.sizes)
    figure, axes = plots.grid(2, 2, 2.6)
    predicted = summaries.predicted_margins(p, n, p.scaling_load)
    aff = p.afferents.build()
    for row, objective in zip(axes, OBJECTIVES, strict=True):
        for i, (axis, kind) in enumerate(zip(row, TYPES, strict=True)):
            by_inputs = {
                inputs: table[(table["objective"] == objective) & (table["type"] == kind)]["weight"].to_numpy()
                for inputs, table in results.weights.items()
            }
            top = max(float(np.quantile(values, 0.9995)) for values in by_inputs.values())
            for (inputs, values), colour in zip(by_inputs.items(), (plots.RED, plots.ORANGE), strict=False):
                label = f"{INPUTS[inputs][0]} inputs, silent {np.mean(values == 0):.3f}"
                _histogram(axis, values, top, colour, label)
            if (solution := predicted[objective]) is not None:
                law = finite_size.weight_laws(solution, aff, n)[i]
                x = np.linspace(0, top, 200)
                density = law.density(x / np.sqrt(n)) / np.sqrt(n)
                axis.plot(x, density, color=plots.BLACK, label=f"theory, silent {law.silent:.3f}")
            axis.set(title=f"{OBJECTIVES[objective]}, {TYPES[kind]}, N = {n}", xlim=(0, top))
            axis.legend()
        row[0].set_ylabel("density")
    for axis in axes[-1]:
        axis.set_xlabel(r"$g\,w\,\sqrt{N}$, threshold per unit of activity")
    return figure


def _histogram(axis: Axes, values: np.ndarray, top: float, colour: str, label: str, bins: int = 50) -> None:
    """Density of the positive values, whose area is their share of all."""
    active: Iterable[float] = values[values > 0]
    share = np.full(len(values[values > 0]), bins / top / len(values))
    axis.hist(active, bins, range=(0, top), weights=share, histtype="step", color=colour, label=label)
