"""Tables of the balanced-networks study, and its results compared with theory, all computed from result files."""

import itertools
import math

import numpy as np
import pandas as pd

from tessera.balanced import finite_size, summaries, theory
from tessera.balanced.report.results import OBJECTIVES, Results
from tessera.common.files import Json
from tessera.common.markdown import table as markdown_table

WEIGHTS = {"kappa_in": "max κ_in", "kappa_out": "max κ_out"}


def feasibility(results: Results) -> pd.DataFrame:
    """One row per set, size, f_exc and kind: load at which half of the tasks are solvable, SE, and theory."""
    p = results.params.feasibility
    tables = {
        name: summaries.half_loads(rows, p.p_out, p.cv_ratios[name]) for name, rows in results.feasibility.items()
    }
    return _stacked("set", tables)


def margins(results: Results) -> pd.DataFrame:
    """One row per law of inputs, size, load and objective: means and standard errors over tasks."""
    return _stacked("inputs", {inputs: summaries.margin_table(rows) for inputs, rows in results.margins.items()})


def weights(results: Results) -> pd.DataFrame:
    """One row per law of inputs, solution and type: silent share and Kolmogorov distance from the predicted law."""
    p = results.params.margins
    n, aff = max(p.sizes), p.afferents.build()
    rows = []
    for objective, solution in summaries.predicted_margins(p, n, p.scaling_load).items():
        if solution is None:
            continue
        for kind, law in zip(("exc", "inh"), finite_size.weight_laws(solution, aff, n), strict=True):
            for inputs, table in results.weights.items():
                values = table[(table["objective"] == objective) & (table["type"] == kind)]["weight"].to_numpy()
                row = {"inputs": inputs, "objective": objective, "type": kind, "n": n, "weights": len(values)}
                row |= {"silent": float(np.mean(values == 0)), "silent_theory": law.silent}
                rows.append(row | {"distance": summaries.kolmogorov_distance(values / np.sqrt(n), law.cdf)})
    return pd.DataFrame(rows)


def learning(results: Results) -> pd.DataFrame:
    """One row per kind of noise: means and deviations over tasks after the last cycle."""
    rows = [
        {"noise": noise, "sigma_in": value.sigma_in, "sigma_out": value.sigma_out}
        | summaries.learning_metrics(results.learning[results.learning["noise"] == noise])
        for noise, value in results.params.learning.noise.items()
    ]
    return pd.DataFrame(rows)


def spiking(results: Results) -> pd.DataFrame:
    """One row per solution, without and with output noise: means and deviations over tasks and draws of the noise.

    The mean area has its interval (auc_low, auc_high).
    """
    numbers = summaries.spiking_metrics(results.spiking)
    rows = []
    for objective, noisy in itertools.product(OBJECTIVES, (False, True)):
        place = f"{objective}.{'noisy' if noisy else 'quiet'}."
        cell = {key.removeprefix(place): value for key, value in numbers.items() if key.startswith(place)}
        rows.append({"objective": objective, "noisy": noisy} | cell)
    return pd.DataFrame(rows)


def attractors(results: Results) -> pd.DataFrame:
    """One row per size and solution: margins, norm and balance of the weights, half-stability noise, mean recovery."""
    rows = []
    for size, networks in results.attractors.items():
        numbers = summaries.attractor_metrics(networks, results.params.attractor)
        for objective in OBJECTIVES:
            cell = {k.removeprefix(f"{objective}."): v for k, v in numbers.items() if k.startswith(f"{objective}.")}
            rows.append({"n": size, "objective": objective} | cell)
    return pd.DataFrame(rows)


def _stacked(name: str, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The tables below one another, each named in the first column."""
    return pd.concat([table.assign(**{name: key}) for key, table in tables.items()], ignore_index=True).pipe(
        lambda table: table[[name, *table.columns.drop(name)]]
    )


def metrics(results: Results) -> Json:
    """The numbers that the study's claims are about, by experiment."""
    p = results.params
    return {
        "theory": summaries.theory_metrics(results.theory, p.margins.afferents.build()),
        "feasibility": {
            name: summaries.feasibility_metrics(table, p.feasibility, p.feasibility.cv_ratios[name])
            for name, table in results.feasibility.items()
        },
        "margins": {inputs: summaries.margin_metrics(rows, p.margins) for inputs, rows in results.margins.items()},
        "weights": {
            f"{row['inputs']}.{row['objective']}.{row['type']}": {
                "distance": row["distance"],
                "silent": row["silent"],
                "silent_theory": row["silent_theory"],
            }
            for row in weights(results).to_dict("records")
        },
        "learning": {
            noise: summaries.learning_metrics(results.learning[results.learning["noise"] == noise])
            for noise in p.learning.noise
        },
        "spiking": summaries.spiking_metrics(results.spiking),
        "attractors": {
            str(size): summaries.attractor_metrics(rows, p.attractor) for size, rows in results.attractors.items()
        },
    }


def _pm(mean: float, error: float, digits: int = 3) -> str:
    """`0.282 ± 0.012`; `-` if there is no value."""
    if math.isnan(mean):
        return "-"
    return f"{mean:.{digits}f}" + ("" if math.isnan(error) else f" ± {error:.{digits}f}")


def markdown(results: Results) -> str:
    """Results of the balanced-networks study compared with theory."""
    return (
        "\n".join([*_tasks(results), *_learning(results), *_spiking(results), *_attractors(results)]).strip("\n") + "\n"
    )


def summary(results: Results) -> str:
    """Results of the balanced-networks study, one line per experiment."""
    p, numbers = results.params, metrics(results)
    n = max(p.feasibility.sizes)
    loads = feasibility(results)
    lines = []
    for name, phi in p.feasibility.cv_ratios.items():
        rows = loads[(loads["set"] == name) & (loads["n"] == n) & (loads["f_exc"] == p.feasibility.f_exc)]
        free, balanced = (rows[rows["kind"] == kind].iloc[0] for kind in ("any", "balanced"))
        lines.append(
            f"Capacity at CV_E/CV_I = {phi:.3g}: half of the tasks of {n} afferents are solvable at "
            f"{_pm(free['half'], free['se'], 2)} patterns per synapse, by balanced weights at "
            f"{_pm(balanced['half'], balanced['se'], 2)}; theory {free['critical_n']:.2f} and "
            f"{balanced['critical_n']:.2f}, and {free['critical']:.2f} and {balanced['critical']:.2f} as N → ∞."
        )
    means = summaries.margin_table(results.margins["gaussian"]).set_index(["objective", "n", "alpha"])
    ends = {
        objective: [means.loc[(objective, size, p.margins.scaling_load)] for size in p.margins.sizes]
        for objective in OBJECTIVES
    }
    lines.append(
        f"From {p.margins.sizes[0]} to {p.margins.sizes[-1]} afferents the output margin of max-κ_out weights goes "
        f"from {_pm(ends['kappa_out'][0]['kappa_out'], ends['kappa_out'][0]['kappa_out_sem'])} to "
        f"{_pm(ends['kappa_out'][-1]['kappa_out'], ends['kappa_out'][-1]['kappa_out_sem'])}, that of max-κ_in weights "
        f"from {_pm(ends['kappa_in'][0]['kappa_out'], ends['kappa_in'][0]['kappa_out_sem'])} to "
        f"{_pm(ends['kappa_in'][-1]['kappa_out'], ends['kappa_in'][-1]['kappa_out_sem'])}."
    )
    by_noise = sorted(p.learning.noise, key=lambda noise: p.learning.noise[noise].sigma_out)
    least, most = (numbers["learning"][noise] for noise in (by_noise[0], by_noise[-1]))
    lines.append(
        f"Learning with output noise ends at an imbalance of {most['imbalance.mean']:.2f} and an output margin of "
        f"{most['kappa_out.mean']:.2f}, without it at {least['imbalance.mean']:.2f} and {least['kappa_out.mean']:.3f}."
    )
    lost = {objective: _lost(numbers["spiking"], objective) for objective in OBJECTIVES}
    lines.append(
        f"Output noise costs a spiking neuron {lost['kappa_in']} of ROC area with max-κ_in weights and "
        f"{lost['kappa_out']} with max-κ_out weights (means over tasks and draws of the noise, 95 % intervals)."
    )
    for size, attractor in numbers["attractors"].items():
        if "sigma_half_ratio" in attractor:
            lines.append(
                f"Memories of {size} neurons tolerate {attractor['sigma_half_ratio']:.1f} times as much noise with "
                f"max-κ_out as with max-κ_in weights, but are recovered from errors in "
                f"{attractor['kappa_out.recovery']:.0%} rather than {attractor['kappa_in.recovery']:.0%} of the starts."
            )
    return "".join(f"* {line}\n" for line in lines)


def _lost(numbers: dict[str, float], objective: str) -> str:
    """`0.082 [0.041, 0.123]`; without an interval if there is none, as for a single task."""
    name = f"{objective}.auc_lost"
    ends = [f"{numbers[name + end]:.3f}" for end in ("_low", "_high") if name + end in numbers]
    return f"{numbers[name]:.3f}" + (f" [{', '.join(ends)}]" if ends else "")


def _tasks(results: Results) -> list[str]:
    """Critical loads and margins of random tasks."""
    p, aff = results.params.margins, results.params.margins.afferents.build()
    rows = []
    loads = feasibility(results)
    for name, phi in results.params.feasibility.cv_ratios.items():
        of_set = loads[(loads["set"] == name) & (loads["n"] == loads["n"].max())]
        main = of_set[of_set["f_exc"] == results.params.feasibility.f_exc]
        for kind, title in (("any", "largest load"), ("balanced", "largest load of balanced weights")):
            row = main[main["kind"] == kind].iloc[0]
            what = f"{title}, φ = {phi:.3g}, N = {row['n']}"
            rows.append((what, f"{row['critical']:.3f}", f"{row['critical_n']:.3f}", _pm(row["half"], row["se"])))
        peak = of_set[of_set["kind"] == "balanced"].sort_values("half").iloc[-1]
        best = theory.optimal_fraction(phi)
        what = f"f_exc with the largest balanced load, φ = {phi:.3g}, N = {peak['n']}"
        rows.append((what, f"{best:.3f}", "-", f"{peak['f_exc']:.2f}"))
    for inputs, table in results.margins.items():
        means = summaries.margin_table(table).set_index(["objective", "n", "alpha"])
        load = p.scaling_load
        limit = theory.margins(load, aff)
        predicted = {
            "kappa_in": (f"{float(limit['kappa_in']):.3f}", "-"),
            "kappa_out": (
                f"{p.norm * float(limit['kappa_out']):.3f}",
                f"{finite_size.of_max_kappa_out(load, aff, p.size, p.norm).kappa_out:.3f}",
            ),
        }
        for objective, values in predicted.items():
            mean = means.loc[(objective, p.size, load)]
            what = f"{WEIGHTS[objective]} at load {load:g}, N = {p.size}, {inputs.replace('_', '-')} inputs"
            rows.append((what, *values, _pm(mean[objective], mean[f"{objective}_sem"])))
    numbers = summaries.margin_metrics(results.margins["gaussian"], p)
    if "scaling.slope_theory" in numbers:
        slope = _pm(numbers["scaling.slope"], numbers["scaling.slope_se"])
        rows.append(
            ("1/κ_out of max-κ_in weights, growth with √N", f"{numbers['scaling.slope_theory']:.3f}", "-", slope)
        )
    exponent = _pm(numbers["scaling.imbalance.exponent"], numbers["scaling.imbalance.exponent_se"])
    what = f"imbalance of max-κ_out weights, exponent of N from {min(p.sizes)} to {max(p.sizes)}"
    rows.append((what, "-0.5", f"{numbers['scaling.imbalance.exponent_theory']:.3f}", exponent))
    return [
        f"Random tasks: {results.params.feasibility.trials} per load, {p.seeds} per margin; "
        f"p_out = {p.afferents.p_out:g}, ± is one standard error.",
        "",
        *markdown_table(("quantity", "theory, N → ∞", "theory at this N", "measured"), rows),
    ]


def _learning(results: Results) -> list[str]:
    p = results.params.learning
    names = ("error", "imbalance", "norm", "kappa_out")
    rows = [
        (
            f"{row['noise']}: input {row['sigma_in']:g}, output {row['sigma_out']:g}",
            *(_pm(row[f"{name}.mean"], row.get(f"{name}.sd", np.nan)) for name in names),
        )
        for row in learning(results).to_dict("records")
    ]
    title = f"Learning, N = {p.size}, P = {round(p.load * p.size)}, {p.cycles} cycles, {p.seeds} tasks; ± is one s.d."
    return [title, "", *markdown_table(("noise", "errors", "imbalance", "norm", "κ_out"), rows)]


def _spiking(results: Results) -> list[str]:
    p, table = results.params.lif, spiking(results)
    rows = [
        (
            f"{WEIGHTS[row['objective']]}, {'noisy' if row['noisy'] else 'quiet'}",
            *(_pm(row[name], row[f"{name}_sd"]) for name in ("auc", "accuracy")),
            *(_pm(row[name], row[f"{name}_sd"], 1) for name in ("plus", "minus")),
        )
        for row in table.to_dict("records")
    ]
    equal = results.spiking["brian2_equal"]
    title = f"Spiking readout, N = P = {p.size}" if p.load == 1 else f"Spiking readout, N = {p.size}, load {p.load:g}"
    return [
        f"{title}, {p.sets} tasks with {p.draws} draws of the noise each; ± is one s.d. over all. ROC areas "
        f"and accuracies are means over draws, each with its own threshold. Of "
        f"{equal['compared']} trials also run in Brian2, {equal['different']} have a different spike count.",
        "",
        *markdown_table(("weights", "ROC area", "balanced accuracy", "spikes at plus", "spikes at minus"), rows),
    ]


def _attractors(results: Results) -> list[str]:
    p = results.params.attractor
    rows = [
        (
            f"{WEIGHTS[row['objective']]}, N = {row['n']}",
            *(f"{row.get(name, math.nan):.3f}" for name in ("kappa", "imbalance", "sigma_half", "recovery")),
        )
        for row in attractors(results).to_dict("records")
    ]
    columns = ("weights", "mean κ_out", "imbalance", "noise at which half is lost", "mean exact recovery")
    title = f"Attractor networks, load {p.load:g}, {p.networks} of each size, {p.memories} memories tested in each."
    return [title, "", *markdown_table(columns, rows)]
