"""The study's experiments: random tasks in, rows and curves out. No files, no plots."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera.balanced import attractor, brian, finite_size, learn, lif, samples, separability, solvers, theory
from tessera.balanced.params import (
    AttractorParams,
    FeasibilityParams,
    LearningParams,
    LifParams,
    MarginParams,
    TheoryParams,
)
from tessera.balanced.theory import Afferents
from tessera.common import randomness
from tessera.common.progress import track

Row = dict[str, Any]


def theory_curves(p: TheoryParams, margins: MarginParams) -> dict[str, Any]:
    """Critical loads over f_exc for each phi, and margins over loads: N -> infinity and finite."""
    fractions = np.linspace(0, 1, p.fractions + 1)
    aff = margins.afferents.build()
    alpha_c, alpha_b = (float(a) for a in theory.critical_loads(aff.f_exc, aff.p_out, aff.cv_ratio))
    capacity = []
    for phi in p.cv_ratios:
        loads = theory.critical_loads(fractions, p.p_out, phi)
        best = theory.optimal_fraction(phi)
        capacity.append({"cv_ratio": phi, "optimal": best, "alpha_c": loads[0], "alpha_b": loads[1]})
    limit = theory.margins(p.loads, aff)
    finite = []
    for n in p.sizes:
        out = [
            None if a >= alpha_c else value_or_none(lambda a=a, n=n: _of_kappa_in(a, aff, n).kappa_out) for a in p.loads
        ]
        finite.append(
            {"n": n, "kappa_out": finite_size.margins(p.loads, aff, n, margins.norm), "kappa_out_of_kappa_in": out}
        )
    clean = {name: [float(v) if np.isfinite(v) else None for v in column] for name, column in limit.items()}
    return {
        "fractions": fractions,
        "capacity": capacity,
        "alpha_c": alpha_c,
        "alpha_b": alpha_b,
        "loads": p.loads,
        "limit": clean,
        "finite": finite,
        "norm": margins.norm,
    }


def _of_kappa_in(alpha: float, aff: Afferents, n: int) -> finite_size.FiniteSolution:
    return finite_size.of_max_kappa_in(theory.kappa_in_solution(alpha, aff), aff, n)


def value_or_none(compute) -> float | None:
    """The value, or None if the theory has none (ValueError)."""
    try:
        return float(compute())
    except ValueError:
        return None


def feasibility(p: FeasibilityParams, cv_ratio: float, seed: int) -> list[Row]:
    """Solved tasks at loads around the critical ones. Rows: n, f_exc, kind, ratio, alpha, solved, trials, undecided."""
    cells = [(n, p.f_exc, kind) for n in p.sizes for kind in ("any", "balanced")]
    cells += [(p.sizes[-1], f, "balanced") for f in p.fractions if f != p.f_exc]
    rows = []
    for n, f_exc, kind in track(cells, "feasibility"):
        aff = Afferents(f_exc, p.p_out, cv_ratio)
        critical = dict(zip(("any", "balanced"), theory.critical_loads(f_exc, p.p_out, cv_ratio), strict=True))[kind]
        for ratio in p.loads:
            count = max(2, round(float(critical) * ratio * n))
            statuses = []
            for trial in range(p.trials):
                rng = randomness.generator(
                    seed, "balanced/feasibility", kind, n, count, f"{f_exc}", f"{cv_ratio}", trial
                )
                task = samples.gaussian(rng, n, count, aff)
                statuses.append(separability.feasibility(*task, balanced=kind == "balanced").status)
            row = {
                "n": n,
                "f_exc": f_exc,
                "kind": kind,
                "ratio": ratio,
                "alpha": count / n,
                "critical": float(critical),
            }
            rows.append(
                row
                | {"solved": statuses.count("feasible"), "undecided": statuses.count("undecided"), "trials": p.trials}
            )
    return rows


def margin_ensemble(p: MarginParams, inputs: str, seed: int) -> tuple[list[Row], list[Row]]:
    """Both optimal solutions over loads at one size, and over sizes at one load.

    Returns rows (n, alpha, trial, objective, kappa_in, kappa_out, norm, imbalance, gap, silent_exc, silent_inh, status)
    and the weights g_i w_i of the largest size at the scaling load, times sqrt(N).
    """
    aff = p.afferents.build()
    cells = sorted({(p.size, alpha) for alpha in p.loads} | {(n, p.scaling_load) for n in p.sizes})
    rows, weights = [], []
    for n, alpha in track(cells, f"margins, {inputs}"):
        for trial in range(p.seeds):
            rng = randomness.generator(seed, "balanced/margins", inputs, n, f"{alpha}", trial)
            task = samples.INPUTS[inputs](rng, n, round(alpha * n), aff)
            for objective in ("kappa_in", "kappa_out"):
                free = objective == "kappa_in"
                result = solvers.max_kappa_in(*task) if free else solvers.max_kappa_out(*task, norm=p.norm)
                if not np.isfinite(result.w).all():
                    raise ValueError(
                        f"balanced.margins: load {alpha} at N = {n} is {result.status}; expected a load below capacity"
                    )
                row = {"n": n, "alpha": alpha, "trial": trial, "objective": objective, "status": result.status}
                kappa_in, kappa_out = solvers.margins(result.w, task.X, task.y)
                exc, silent = task.signs > 0, solvers.silent(result, *task)
                rows.append(
                    row
                    | {"kappa_in": kappa_in, "kappa_out": kappa_out, "norm": result.norm, "gap": result.certificate.gap}
                    | {"imbalance": solvers.imbalance(result.w, task.X), "seed": seed}
                    | {
                        "silent_exc": float(np.mean(silent[exc])),
                        "silent_inh": float(np.mean(silent[~exc])),
                    }
                )
                if (n, alpha) == (max(p.sizes), p.scaling_load):
                    unit = np.where(silent, 0.0, result.w * task.signs * np.sqrt(n))
                    kind = np.where(exc, "exc", "inh")
                    weights += [
                        {"objective": objective, "type": k, "weight": v} for k, v in zip(kind, unit, strict=True)
                    ]
    return rows, weights


def learning(p: LearningParams, noise: str, seed: int) -> list[Row]:
    """Traces: rows (trial, cycle, error, imbalance, norm, kappa_in, kappa_out), and the bound V(|w|) at the end."""
    rule = learn.Rule(p.rate / p.size, p.decay, p.noise[noise].sigma_in, p.noise[noise].sigma_out)
    marks = np.unique(np.r_[0, np.geomspace(1, p.cycles, p.marks).round().astype(int)])
    rows = []
    for trial in track(range(p.seeds), f"learning, {noise}"):
        # The task and the start are the same for every noise, so that differences are those of the noise.
        rng = randomness.generator(seed, "balanced/learning", trial)
        task = samples.binary(rng, p.size, round(p.load * p.size), p.f_exc, p.p_out)
        start = learn.initial_weights(rng, task.signs)
        stream = randomness.generator(seed, "balanced/learning", noise, trial)
        kept, _ = learn.train(*task, start, rule, marks, stream)
        for cycle, w in zip(marks.tolist(), kept, strict=True):
            kappa_in, kappa_out = solvers.margins(w, task.X, task.y)
            error = float(np.mean(task.y * (task.X @ w - 1) <= 0))
            row = {"trial": trial, "cycle": cycle, "error": error, "imbalance": solvers.imbalance(w, task.X)}
            rows.append(row | {"norm": float(np.linalg.norm(w)), "kappa_in": kappa_in, "kappa_out": kappa_out})
        best = solvers.max_kappa_out(*task, norm=rows[-1]["norm"])
        rows[-1] |= {"bound": best.certificate.dual}
    return rows


def spiking(p: LifParams, seed: int) -> dict[str, Any]:
    """Counts and ROC areas of both solutions, with and without output noise, and whether Brian2 counts the same.

    trials: rows (set, draw, objective, noisy, auc, accuracy, plus, minus); counts: histograms over all trials of plus
    and minus patterns; roc: false alarms and hits of the mean curve over all trials; brian2_equal: trials compared, and
    pairs of counts that differ.
    """
    neuron = lif.Neuron(p.tau_m, p.tau_s, p.dt, p.window)
    aff = p.afferents.build()
    trials: list[Row] = []
    pooled: dict[str, dict[str, list[NDArray]]] = {}
    curves: dict[str, list[tuple[NDArray, NDArray]]] = {}
    compared = different = 0
    for number in track(range(p.sets), "spiking sets"):
        rng = randomness.generator(seed, "balanced/lif", number)
        task = samples.exponential_gamma(rng, p.size, round(p.load * p.size), aff)
        solutions = {"kappa_in": solvers.max_kappa_in(*task), "kappa_out": solvers.max_kappa_out(*task, norm=p.norm)}
        for draw in range(p.draws):
            extra = p.noise_scale / np.sqrt(p.noise_afferents) * rng.standard_normal(p.noise_afferents)
            noise = lif.noise_input(rng, extra, len(task.y), neuron)
            for objective, result in solutions.items():
                active = result.w != 0
                rates = p.rate / 1000 * task.X[:, active]
                quiet = lif.poisson_input(rng, result.w[active], rates, neuron)
                for noisy, binned in ((False, quiet), (True, quiet + noise)):
                    counts = lif.spike_counts(binned, neuron)
                    if draw == 0:
                        compared += len(counts)
                        different += int(np.sum(counts != brian.spike_counts(binned, neuron)))
                    plus, minus = counts[task.y > 0], counts[task.y < 0]
                    alarms, hits, area = lif.roc(plus, minus)
                    row = {"set": number, "draw": draw, "objective": objective, "noisy": noisy, "auc": area}
                    row |= {"accuracy": lif.balanced_accuracy(alarms, hits)}
                    trials.append(row | {"plus": plus.mean(), "minus": minus.mean()})
                    name = f"{objective}/{'noisy' if noisy else 'quiet'}"
                    store = pooled.setdefault(name, {"plus": [], "minus": []})
                    store["plus"].append(plus)
                    store["minus"].append(minus)
                    curves.setdefault(name, []).append((alarms, hits))
    histograms = {
        name: {label: np.bincount(np.concatenate(counts)) for label, counts in both.items()}
        for name, both in pooled.items()
    }
    roc = {
        name: dict(zip(("alarms", "hits"), lif.mean_roc(trial_curves), strict=True))
        for name, trial_curves in curves.items()
    }
    equal = {"compared": compared, "different": different}
    return {"trials": trials, "counts": histograms, "roc": roc, "brian2_equal": equal}


def attractors(p: AttractorParams, n: int, seed: int) -> list[Row]:
    """Stability against noise and recovery from errors of both networks.

    Rows: network, objective, kappa (mean kappa_out in threshold units), fixed (fraction of memories that are fixed
    points), norm, imbalance, gap, and the successes and trials of each sigma and of each distance.
    """
    rows: list[Row] = []
    for number in track(range(p.networks), f"networks of {n}"):
        rng = randomness.generator(seed, "balanced/attractor", n, number)
        memories, _, signs = samples.memories(rng, n, round(p.load * n), p.f_exc, p.q_exc, p.q_inh)
        chosen = rng.permutation(len(memories))[: p.memories]
        activity = memories.mean(0)
        for objective in ("kappa_in", "kappa_out"):
            trained = solvers.train_network(memories, signs, None if objective == "kappa_in" else p.norm)
            weights = trained.weights
            kappa = float(((2 * memories - 1) * (memories @ weights.T - 1)).min(0).mean())
            stream = randomness.generator(seed, "balanced/attractor", n, number, objective)
            stable = [
                sum(attractor.stable(weights, memories[m], s * kappa, p.cycles, p.tolerance, stream) for m in chosen)
                for s in p.sigma
            ]
            recovered = []
            for d in p.distances:
                starts = [
                    (m, attractor.corrupted(memories[m], d, activity, stream))
                    for m in np.repeat(chosen, p.basin_repeats)
                ]
                limits = (p.basin_cycles, p.basin_tolerance)
                recovered.append(sum(attractor.recovers(weights, memories[m], x, *limits, stream) for m, x in starts))
            rows.append(
                {"network": number, "objective": objective, "n": n, "kappa": kappa, "gap": float(trained.gap.max())}
                | {"fixed": float(attractor.is_fixed_point(weights, memories).mean())}
                | {"norm": float(np.linalg.norm(weights, axis=1).mean())}
                | {"imbalance": solvers.imbalance(weights, memories)}
                | {"stable": stable, "stable_trials": len(chosen)}
                | {"recovered": recovered, "recovered_trials": len(chosen) * p.basin_repeats}
            )
    return rows
