"""Numbers that the study's claims are about: rows of the experiments in, metrics by name out (finite floats)."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tessera.balanced import finite_size, proportions, theory
from tessera.balanced.params import AttractorParams, FeasibilityParams, MarginParams
from tessera.balanced.theory import Afferents
from tessera.common import association, randomness

Metrics = dict[str, float]
#: Draws of each bootstrap interval; more move its ends by less than their last digit shown.
DRAWS = 2000


def finite(metrics: Metrics) -> Metrics:
    """Drop values that are not finite: a curve that never crosses one half has no half point."""
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}


def theory_metrics(curves: dict[str, Any], aff: Afferents) -> Metrics:
    """Critical loads and margins of the study's set."""
    metrics = {
        "alpha_c": curves["alpha_c"],
        "alpha_b": curves["alpha_b"],
        "f_star": theory.optimal_fraction(aff.cv_ratio),
    }
    for alpha, kappa_in, kappa_out in zip(
        curves["loads"], curves["limit"]["kappa_in"], curves["limit"]["kappa_out"], strict=True
    ):
        if kappa_in is not None:
            metrics |= {f"kappa_in.alpha_{alpha:g}": kappa_in, f"kappa_out.alpha_{alpha:g}": kappa_out}
    return finite(metrics)


def half_loads(rows: pd.DataFrame, p_out: float, cv_ratio: float) -> pd.DataFrame:
    """Measured critical loads: columns n, f_exc, kind, half, se, critical, ratio = half/critical, and critical_n.

    The last is the theory's load at finite N; that of any solution has no correction of order 1/sqrt(N).
    """
    loads = []
    for (n, f, kind), cell in rows.groupby(["n", "f_exc", "kind"], sort=True):
        half, error = proportions.half_load(*(cell[c].to_numpy(float) for c in ("alpha", "solved", "trials")))
        critical = cell["critical"].iloc[0]
        row = {"n": n, "f_exc": f, "kind": kind, "half": half, "se": error, "critical": critical}
        balanced = kind == "balanced"
        finite_n = finite_size.critical_balanced_load(Afferents(f, p_out, cv_ratio), n) if balanced else critical
        loads.append(row | {"ratio": half / critical, "critical_n": finite_n})
    return pd.DataFrame(loads)


def feasibility_metrics(rows: pd.DataFrame, p: FeasibilityParams, cv_ratio: float) -> Metrics:
    """Ratios of measured to predicted critical loads, N -> infinity and finite; where the balanced load is largest.

    ratio_to_any is that to the load of any solution, what a theory that ignores balance predicts.
    """
    table = half_loads(rows, p.p_out, cv_ratio)
    metrics: Metrics = {"undecided": float(rows["undecided"].sum())}
    any_critical, _ = (float(load) for load in theory.critical_loads(p.f_exc, p.p_out, cv_ratio))
    for row in table[table["f_exc"] == p.f_exc].to_dict("records"):
        name = f"{row['kind']}.n_{row['n']}"
        metrics |= {f"{name}.ratio": row["ratio"], f"{name}.ratio_at_n": row["half"] / row["critical_n"]}
        metrics[f"{name}.ratio_se"] = row["se"] / row["critical"]
        metrics[f"{name}.ratio_to_any"] = row["half"] / any_critical
    curve = table[(table["kind"] == "balanced") & (table["n"] == table["n"].max())]
    metrics["balanced.peak_f_exc"] = float(curve["f_exc"].to_numpy()[curve["half"].argmax()])
    return finite(metrics)


def predicted_margins(p: MarginParams, n: int, alpha: float) -> dict[str, finite_size.FiniteSolution | None]:
    """Finite-N theory of both objectives; None for a max-kappa_in solution that is balanced."""
    aff = p.afferents.build()
    best = theory.kappa_in_solution(alpha, aff)
    free = None if best.balanced else finite_size.of_max_kappa_in(best, aff, n)
    return {"kappa_in": free, "kappa_out": finite_size.of_max_kappa_out(alpha, aff, n, p.norm)}


def margin_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard error over tasks by (n, alpha, objective): columns such as kappa_in, kappa_in_sem."""
    rows = rows.assign(inverse=1 / rows["kappa_out"])
    columns = ["kappa_in", "kappa_out", "inverse", "norm", "imbalance", "silent_exc", "silent_inh"]
    groups = rows.groupby(["n", "alpha", "objective"])[columns]
    return groups.mean().join(groups.sem().add_suffix("_sem")).reset_index()


def margin_metrics(rows: pd.DataFrame, p: MarginParams) -> Metrics:
    """Measured over predicted margins; the law 1/kappa_out = intercept + slope sqrt(N); silent fractions; gaps.

    ratio_to_free and ratio_to_limit are those to naive theories: without the signs of weights, and of N -> infinity.
    """
    aff = p.afferents.build()
    table = margin_table(rows).set_index(["objective", "n", "alpha"]).sort_index()
    metrics: Metrics = {"gap.max": rows["gap"].max()}
    for alpha in p.loads:
        predicted = predicted_margins(p, p.size, alpha)
        limit, free = theory.kappa_in_solution(alpha, aff).kappa_in, theory.demand_margin(1 / alpha, aff.p_out)
        kappa_in = table["kappa_in"].to_dict()["kappa_in", p.size, alpha]
        kappa_out = table["kappa_out"].to_dict()["kappa_out", p.size, alpha]
        metrics |= {f"kappa_in.alpha_{alpha:g}.ratio": kappa_in / limit, f"kappa_out.alpha_{alpha:g}.mean": kappa_out}
        metrics[f"kappa_in.alpha_{alpha:g}.ratio_to_free"] = kappa_in / free
        if (bound := p.norm * float(theory.margins(alpha, aff)["kappa_out"])) > 0:
            metrics[f"kappa_out.alpha_{alpha:g}.ratio_to_limit"] = kappa_out / bound
        if (value := predicted["kappa_out"]) and value.kappa_out > 0:
            metrics[f"kappa_out.alpha_{alpha:g}.ratio"] = kappa_out / value.kappa_out
    metrics |= _scaling_metrics(table, p)
    largest = max(p.sizes)
    for objective, solution in predicted_margins(p, largest, p.scaling_load).items():
        if solution is not None:
            laws = finite_size.weight_laws(solution, aff, largest)
            for kind, law in zip(("exc", "inh"), laws, strict=True):
                measured = table[f"silent_{kind}"].to_dict()[objective, largest, p.scaling_load]
                metrics[f"silent.{objective}.{kind}.difference"] = measured - law.silent
    return finite(metrics)


def _scaling_metrics(table: pd.DataFrame, p: MarginParams) -> Metrics:
    """Weighted fit of mean 1/kappa_out of the max-kappa_in solution to sqrt(N), and trends of the other solution."""
    free = table.loc["kappa_in"].xs(p.scaling_load, level="alpha").loc[p.sizes]
    bound = table.loc["kappa_out"].xs(p.scaling_load, level="alpha").loc[p.sizes]
    root = np.sqrt(np.array(p.sizes, float))
    design = np.stack([np.ones_like(root), root], 1) / free["inverse_sem"].to_numpy()[:, None]
    covariance = np.linalg.inv(design.T @ design)
    intercept, slope = covariance @ design.T @ (free["inverse"] / free["inverse_sem"]).to_numpy()
    solution = theory.kappa_in_solution(p.scaling_load, p.afferents.build())
    metrics = {"scaling.slope": slope, "scaling.intercept": intercept}
    metrics |= {"scaling.slope_se": covariance[1, 1] ** 0.5, "scaling.intercept_se": covariance[0, 0] ** 0.5}
    if not solution.balanced:
        predicted = solution.side.tilt / p.afferents.cv_exc / solution.kappa
        offset = theory.pattern_threshold(solution.kappa, p.afferents.p_out) / solution.kappa
        metrics |= {"scaling.slope_theory": predicted, "scaling.intercept_theory": offset}
        metrics["scaling.slope_z"] = (slope - predicted) / metrics["scaling.slope_se"]
        metrics["scaling.intercept_z"] = (intercept - offset) / metrics["scaling.intercept_se"]
    for objective, margins in (("kappa_in", free), ("kappa_out", bound)):
        ends = margins["kappa_out"].iloc[[0, -1]].to_numpy()
        metrics[f"scaling.{objective}.last_over_first"] = ends[1] / ends[0]
    lean = bound["imbalance"].abs().iloc[[0, -1]].to_numpy()
    span = math.log(p.sizes[-1] / p.sizes[0])
    metrics["scaling.imbalance.exponent"] = math.log(lean[1] / lean[0]) / span
    relative = (bound["imbalance_sem"] / bound["imbalance"]).iloc[[0, -1]].to_numpy()
    metrics["scaling.imbalance.exponent_se"] = float(np.hypot(*relative)) / span
    ends = [predicted_margins(p, n, p.scaling_load)["kappa_out"] for n in (p.sizes[0], p.sizes[-1])]
    lean = [abs(end.side.imbalance) for end in ends if end is not None]
    metrics["scaling.imbalance.exponent_theory"] = math.log(lean[1] / lean[0]) / span
    return metrics


def learning_metrics(rows: pd.DataFrame) -> Metrics:
    """Means and deviations over tasks at the last cycle; share of the bound V(|w|) that the margin reaches."""
    last = rows[rows["cycle"] == rows["cycle"].max()]
    metrics: Metrics = {}
    for name in ("error", "imbalance", "norm", "kappa_in", "kappa_out"):
        metrics |= {f"{name}.mean": last[name].mean(), f"{name}.sd": last[name].std(ddof=1)}
    metrics["bound_share.max"] = (last["kappa_out"] / last["bound"]).max()
    return finite(metrics)


def spiking_metrics(result: dict[str, Any]) -> Metrics:
    """Mean and deviation of the ROC areas and of the counts; area lost to noise; counts that differ from Brian2's.

    Areas are those of single draws of the noise, each with its own threshold: the weights of the noise shift all
    counts of a neuron together, so that one threshold for several draws would mix what noise adds to one neuron with
    how neurons differ. Their means, and the mean loss, have 95 % intervals (_low, _high) over tasks and draws.
    """
    rows = pd.DataFrame(result["trials"])
    metrics: Metrics = {"brian2.different": result["brian2_equal"]["different"]}
    metrics["brian2.compared"] = result["brian2_equal"]["compared"]
    for (objective, noisy), cell in rows.groupby(["objective", "noisy"]):
        name = f"{objective}.{'noisy' if noisy else 'quiet'}"
        for column in ("auc", "accuracy", "plus", "minus"):
            metrics |= {f"{name}.{column}": cell[column].mean(), f"{name}.{column}_sd": cell[column].std(ddof=1)}
        metrics |= _interval_over(f"{name}.auc", cell["auc"], cell["set"])
    areas = rows.pivot(index=["set", "draw"], columns=["objective", "noisy"], values="auc")
    for objective in ("kappa_in", "kappa_out"):
        lost = areas[objective][False] - areas[objective][True]
        metrics[f"{objective}.auc_lost"] = lost.mean()
        metrics |= _interval_over(f"{objective}.auc_lost", lost, lost.index.get_level_values("set"))
    return finite(metrics)


def _interval_over(
    name: str, values: ArrayLike, tasks: ArrayLike, statistic: Callable[[NDArray], float] = np.mean
) -> Metrics:
    """Ends of the 95 % interval of a statistic of values that come in tasks, as NAME_low and NAME_high."""
    interval = association.clustered(statistic, values, tasks, DRAWS, randomness.generator(0, "balanced", "interval"))
    ends = ((end, interval[end]) for end in ("low", "high"))
    return {f"{name}_{end}": math.nan if value is None else value for end, value in ends}


def attractor_curves(rows: list[dict[str, Any]], p: AttractorParams) -> dict[str, dict[str, Any]]:
    """By objective, over all networks: sigma, stable fraction, recovered fraction, and their Wilson intervals."""
    by_objective = {}
    for objective in ("kappa_in", "kappa_out"):
        networks = [row for row in rows if row["objective"] == objective]
        kappa = float(np.mean([row["kappa"] for row in networks]))
        curves: dict[str, Any] = {"kappa": kappa, "sigma": [s * kappa for s in p.sigma], "distance": p.distances}
        for name in ("stable", "recovered"):
            successes = np.sum([row[name] for row in networks], axis=0)
            curves[name] = proportions.wilson(successes, sum(row[f"{name}_trials"] for row in networks))
        by_objective[objective] = curves
    return by_objective


def attractor_metrics(rows: list[dict[str, Any]], p: AttractorParams) -> Metrics:
    """Half-stability noise of both networks, absolute and over kappa_out; their ratio; mean recovery.

    The ratio and the difference of recoveries have 95 % intervals (_low, _high) over networks.
    """
    metrics: Metrics = {"fixed.min": min(row["fixed"] for row in rows), "gap.max": max(row["gap"] for row in rows)}
    half = {}
    for objective, curves in attractor_curves(rows, p).items():
        half[objective] = proportions.half_point(curves["sigma"], curves["stable"][0])
        metrics |= {f"{objective}.kappa": curves["kappa"], f"{objective}.sigma_half": half[objective]}
        metrics[f"{objective}.sigma_half_over_kappa"] = half[objective] / curves["kappa"]
        metrics[f"{objective}.recovery"] = float(np.mean(curves["recovered"][0]))
        networks = [row for row in rows if row["objective"] == objective]
        metrics |= {
            f"{objective}.{name}": float(np.mean([row[name] for row in networks])) for name in ("norm", "imbalance")
        }
    metrics["sigma_half_ratio"] = half["kappa_out"] / half["kappa_in"]
    metrics["recovery_difference"] = metrics["kappa_in.recovery"] - metrics["kappa_out.recovery"]
    table = _by_network(rows)
    metrics |= _interval_over("sigma_half_ratio", table, table[:, 0, 0], lambda t: _half_ratio(t, p.sigma))
    recovered = table[:, 0, -1] - table[:, 1, -1]
    metrics |= _interval_over("recovery_difference", recovered, table[:, 0, 0])
    return finite(metrics)


def _by_network(rows: list[dict[str, Any]]) -> NDArray:
    """(networks, 2, 3 + sigmas) by objective: network, kappa, stable fraction by sigma, mean recovered fraction."""
    numbers = sorted({row["network"] for row in rows})
    table = [
        [
            [row["network"], row["kappa"]]
            + [count / row["stable_trials"] for count in row["stable"]]
            + [float(np.mean(row["recovered"])) / row["recovered_trials"]]
            for objective in ("kappa_in", "kappa_out")
            for row in rows
            if (row["network"], row["objective"]) == (number, objective)
        ]
        for number in numbers
    ]
    return np.array(table, float)


def _half_ratio(table: NDArray, sigma: list[float]) -> float:
    """Half-stability noise of max-kappa_out over that of max-kappa_in weights, from rows of `_by_network`."""
    mean = table.mean(axis=0)
    half = [row[1] * proportions.half_point(sigma, row[2:-1]) for row in mean]
    return half[1] / half[0]


def kolmogorov_distance(values: ArrayLike, cdf: Callable[[NDArray], NDArray]) -> float:
    """Largest difference between the empirical distribution of values >= 0 and a cdf with an atom at 0 alone."""
    ordered, counts = np.unique(np.asarray(values, float), return_counts=True)
    if len(ordered) == 0 or ordered[0] < 0:
        raise ValueError("kolmogorov_distance: at least one value is needed, and all must be >= 0")
    upper = np.cumsum(counts) / counts.sum()
    predicted = cdf(ordered)
    lower = np.where(ordered > 0, upper - counts / counts.sum(), predicted)
    return float(np.maximum(np.abs(upper - predicted), np.abs(lower - predicted)).max())
