"""Figures of the balanced-networks study."""

from pathlib import Path
from typing import Any

from tessera.balanced.params import BalancedParams
from tessera.common import files, stage

COLOURS = {"kappa_in": "#0072b2", "kappa_out": "#d55e00"}
NAMES = {"kappa_in": r"max $\kappa_{in}$", "kappa_out": r"max $\kappa_{out}$"}


def main(
    params: BalancedParams,
    curves: Path,
    feasibility: list[Path],
    margins: list[Path],
    weights: list[Path],
    learning: list[Path],
    spiking: Path,
    attractors: list[Path],
    figures: Path,
) -> None:
    """Write the figures into the directory; files of a list are named after their set, inputs, noise or size."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "tessera", "axes.spines.top": False, "axes.spines.right": False})
    matplotlib.rcParams.update({"legend.frameon": False, "legend.fontsize": 8, "figure.constrained_layout.use": True})
    p = params
    theory = files.read_json(curves)
    tables = {path.stem: files.read_csv(path) for path in margins}
    made = {
        "capacity": _capacity(theory, {path.stem: files.read_csv(path) for path in feasibility}, p),
        "feasibility": _feasibility({path.stem: files.read_csv(path) for path in feasibility}),
        "margins": _margins(theory, tables, p),
        "scaling": _scaling(tables, p),
        "weights": _weights({path.stem: files.read_parquet(path) for path in weights}, p),
        "learning": _learning({path.stem: files.read_csv(path) for path in learning}),
        "spiking": _spiking(files.read_json(spiking)),
        "attractors": _attractors({path.stem: files.read_json(path) for path in attractors}, p),
    }
    with files.replacing_directory(figures) as hidden:
        for name, figure in made.items():
            figure.savefig(hidden / f"{name}.svg", metadata={"Date": None})


def _axes(columns: int, rows: int = 1, **options: Any) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * columns, 3.0 * rows))
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _capacity(theory: dict, found: dict, p: BalancedParams) -> Any:
    """Critical loads against f_exc: theory, and the loads at which half of the random tasks are solvable."""
    from tessera.balanced import summaries

    figure, axes = _axes(len(theory["capacity"]), sharey=True)
    names = {value: name for name, value in p.feasibility.cv_ratios.items()}
    for axis, curve in zip(axes[0], theory["capacity"], strict=True):
        axis.plot(theory["fractions"], curve["alpha_c"], "k", label=r"$\alpha_c$")
        axis.plot(theory["fractions"], curve["alpha_b"], "k--", label=r"$\alpha_b$")
        axis.axvline(curve["optimal"], color="0.8", zorder=0)
        axis.set(xlabel=r"$f_{exc}$", title=rf"$\varphi$ = {curve['cv_ratio']:.3g}, p = {p.theory.p_out:g}")
        name = names.get(curve["cv_ratio"])
        if name in found and p.feasibility.p_out == p.theory.p_out:
            table = summaries.half_loads(found[name])
            table = table[table["n"] == table["n"].max()]
            for kind, marker, colour in (("any", "s", "#009e73"), ("balanced", "o", "#d55e00")):
                own = table[table["kind"] == kind]
                label = f"half solvable, {kind}, N = {own['n'].iloc[0]}"
                axis.errorbar(own["f_exc"], own["half"], 1.96 * own["se"], fmt=marker, color=colour, ms=4, label=label)
        axis.legend()
    axes[0, 0].set_ylabel(r"load $\alpha$")
    return figure


def _feasibility(found: dict) -> Any:
    """Fraction of solvable tasks against load over the critical load, Wilson intervals."""
    from tessera.balanced.attractor import wilson

    figure, axes = _axes(2, len(found), sharey=True, sharex=True)
    for row, (name, table) in zip(axes, found.items(), strict=True):
        main = table[table.groupby(["n", "kind"])["f_exc"].transform("first") == table["f_exc"]]
        for axis, kind in zip(row, ("any", "balanced"), strict=True):
            for n, own in main[main["kind"] == kind].groupby("n"):
                x = own["alpha"] / own["critical"]
                share, low, high = wilson(own["solved"], own["trials"])
                axis.errorbar(x, share, [share - low, high - share], marker="o", ms=3, label=f"N = {n}")
            axis.axvline(1, color="0.8", zorder=0)
            axis.set(xlabel=f"load / critical load, {kind}", title=rf"set {name}")
        row[0].set_ylabel("fraction solvable")
        row[0].legend()
    return figure


def _margins(theory: dict, tables: dict, p: BalancedParams) -> Any:
    """Margins against load: max kappa_out, max kappa_in, and 1/kappa_out of the latter."""
    import numpy as np

    from tessera.balanced import summaries

    figure, axes = _axes(3)
    loads, limit = theory["loads"], {k: np.array(v, float) for k, v in theory["limit"].items()}
    below = np.array(loads) < theory["alpha_b"]
    out, free, inverse = axes[0]
    out.plot(np.array(loads)[below], theory["norm"] * limit["kappa_out"][below], "k", label=r"$N\to\infty$")
    # Above the balanced load the largest output margin is kappa_0 CV_E/sqrt(N), whatever the norm.
    scaled = limit["kappa_0"] * p.margins.afferents.cv_exc / np.sqrt(p.margins.size)
    out.plot(loads, scaled, "k:", label=rf"$\kappa_0\,CV_E/\sqrt{{N}}$, N = {p.margins.size}")
    free.plot(loads, limit["kappa_in"], "k", label=r"$N\to\infty$")
    for curve in theory["finite"]:
        style = {"lw": 0.9, "label": f"N = {curve['n']}"}
        value = np.array(curve["kappa_out"])
        out.plot(loads, np.where(value > 0, value, np.nan), "--", **style)
        inverse.plot(loads, 1 / np.array(curve["kappa_out_of_kappa_in"], float), "--", **style)
    for (inputs, rows), marker in zip(tables.items(), "os^v", strict=False):
        table = summaries.margin_table(rows)
        table = table[table["n"] == p.margins.size]
        label = f"{inputs.replace('_', '-')}, N = {p.margins.size}"
        for axis, objective, column in (
            (out, "kappa_out", "kappa_out"),
            (free, "kappa_in", "kappa_in"),
            (inverse, "kappa_in", "inverse"),
        ):
            own = table[table["objective"] == objective]
            axis.errorbar(own["alpha"], own[column], own[f"{column}_sem"], fmt=marker, ms=4, label=label)
    out.set(ylabel=r"max $\kappa_{out}$", yscale="log")
    free.set(ylabel=r"max $\kappa_{in}$", yscale="log")
    inverse.set(ylabel=r"1/$\kappa_{out}$ of the max-$\kappa_{in}$ solution", yscale="log")
    for axis in axes[0]:
        axis.set_xlabel(r"load $\alpha$")
        axis.axvline(theory["alpha_b"], color="0.85", zorder=0)
        axis.legend()
    return figure


def _scaling(tables: dict, p: BalancedParams) -> Any:
    """kappa_out and imbalance of both solutions against N, with theory."""
    from tessera.balanced import summaries

    figure, axes = _axes(2)
    sizes, load = p.margins.sizes, p.margins.scaling_load
    for (inputs, rows), marker in zip(tables.items(), "os^v", strict=False):
        table = summaries.margin_table(rows)
        table = table[(table["alpha"] == load) & table["n"].isin(sizes)]
        for objective, colour in COLOURS.items():
            own = table[table["objective"] == objective]
            for axis, column in zip(axes[0], ("kappa_out", "imbalance"), strict=True):
                label = f"{NAMES[objective]}, {inputs.replace('_', '-')}"
                value, error = own[column].abs(), own[f"{column}_sem"]
                axis.errorbar(own["n"], value, error, fmt=marker, color=colour, ms=4, label=label)
    predicted = {n: summaries.predicted_margins(p.margins, n, load) for n in sizes}
    for objective, colour in COLOURS.items():
        known = [(n, solution) for n, found in predicted.items() if (solution := found[objective])]
        for axis, quantity in zip(axes[0], ("kappa_out", "imbalance"), strict=True):
            values = [s.kappa_out if quantity == "kappa_out" else abs(s.side.imbalance) for _, s in known]
            axis.plot([n for n, _ in known], values, color=colour, lw=1)
    for axis, name in zip(axes[0], (r"$\kappa_{out}$", "|imbalance|"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="N", ylabel=name, title=rf"$\alpha$ = {load:g}")
        axis.set_xticks(sizes, [str(n) for n in sizes])
        axis.minorticks_off()
    axes[0, 0].legend()
    return figure


def _weights(tables: dict, p: BalancedParams) -> Any:
    """Histograms of g w sqrt(N), silent synapses left out, with the predicted truncated Gaussians."""
    import numpy as np

    from tessera.balanced import finite_size, summaries

    n = max(p.margins.sizes)
    figure, axes = _axes(2, 2)
    predicted = summaries.predicted_margins(p.margins, n, p.margins.scaling_load)
    aff = p.margins.afferents.build()
    for row, objective in zip(axes, COLOURS, strict=True):
        for i, (axis, kind) in enumerate(zip(row, ("exc", "inh"), strict=True)):
            top = 0.0
            for inputs, table in tables.items():
                own = table[(table["objective"] == objective) & (table["type"] == kind)]["weight"].to_numpy()
                top = max(top, float(own.max()))
                active = own[own > 0]
                label = f"{inputs.replace('_', '-')}, silent {np.mean(own == 0):.3f}"
                share = np.full(len(active), 60 / own.max() / len(own))
                axis.hist(active, 60, range=(0, own.max()), weights=share, histtype="step", label=label)
            if (solution := predicted[objective]) is not None:
                law = finite_size.weight_laws(solution, aff, n)[i]
                x = np.linspace(0, top, 200)
                axis.plot(x, law.density(x / np.sqrt(n)) / np.sqrt(n), "k", label=f"theory, silent {law.silent:.3f}")
            axis.set(xlabel=r"$g\,w\,\sqrt{N}$", title=f"{NAMES[objective]}, {kind}, N = {n}")
            axis.legend()
    return figure


def _learning(tables: dict) -> Any:
    """Error, imbalance, norm and output margin against the number of cycles, mean over tasks."""
    figure, axes = _axes(4)
    names = {"error": "fraction of errors", "imbalance": "imbalance", "norm": "|w|", "kappa_out": r"$\kappa_{out}$"}
    for noise, table in tables.items():
        groups = table.groupby("cycle")[list(names)]
        mean, sem = groups.mean(), groups.sem()
        for axis, (column, label) in zip(axes[0], names.items(), strict=True):
            axis.plot(mean.index + 1, mean[column], label=noise)
            axis.fill_between(mean.index + 1, mean[column] - sem[column], mean[column] + sem[column], alpha=0.2, lw=0)
            axis.set(xscale="log", xlabel="cycle + 1", ylabel=label)
    axes[0, 3].set_ylim(bottom=-0.5)
    axes[0, 0].legend(title="noise")
    return figure


def _spiking(result: dict) -> Any:
    """Spike-count histograms and ROC of both solutions, quiet and noisy, pooled over all trials."""
    import numpy as np

    from tessera.balanced.lif import roc

    figure, axes = _axes(3)
    for axis, objective in zip(axes[0], COLOURS, strict=False):
        for state, style in (("quiet", "-"), ("noisy", "--")):
            counts = {label: np.array(h) for label, h in result["counts"][f"{objective}/{state}"].items()}
            for label, colour in (("plus", "#d55e00"), ("minus", "#0072b2")):
                h = counts[label]
                axis.step(np.arange(len(h)), h / h.sum(), style, color=colour, where="mid", label=f"{label}, {state}")
            spikes = (np.repeat(np.arange(len(counts[label])), counts[label]) for label in ("plus", "minus"))
            alarms, hits, area = roc(*spikes)
            axes[0, 2].plot(
                alarms, hits, style, color=COLOURS[objective], label=f"{NAMES[objective]}, {state}: {area:.3f}"
            )
        axis.set(xlabel="output spikes", ylabel="fraction", title=NAMES[objective], xlim=(0, 40))
        axis.legend()
    axes[0, 2].set(xlabel="false alarms", ylabel="hits", title="ROC, pooled: area")
    axes[0, 2].legend()
    return figure


def _attractors(found: dict, p: BalancedParams) -> Any:
    """Stable memories against noise, absolute and over kappa_out; recovery against the initial error. Wilson bars."""
    from tessera.balanced import summaries

    figure, axes = _axes(3)
    for (size, rows), line in zip(found.items(), ("-", "--", ":", "-."), strict=False):
        for objective, curves in summaries.attractor_curves(rows, p.attractor).items():
            options = {"color": COLOURS[objective], "ls": line, "marker": "o", "ms": 3}
            label = f"{NAMES[objective]}, N = {size}"
            for axis, x, name in (
                (axes[0, 0], curves["sigma"], "stable"),
                (axes[0, 1], p.attractor.sigma, "stable"),
                (axes[0, 2], curves["distance"], "recovered"),
            ):
                share, low, high = curves[name]
                axis.errorbar(x, share, [share - low, high - share], label=label, **options)
    axes[0, 0].set(xlabel=r"output noise $\sigma$", ylabel="stable memories", xscale="log")
    axes[0, 1].set(xlabel=r"$\sigma$ / mean $\kappa_{out}$", ylabel="stable memories")
    axes[0, 2].set(xlabel="probability of a flip 1 to 0", ylabel="exact recovery")
    axes[0, 2].legend()
    return figure


if __name__ == "__main__":
    stage.run(main)
