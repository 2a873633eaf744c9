"""Tables of the T-SVM study, the numbers that claims refer to, and what they say in words."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from tessera.tsvm.report.results import Results


def margins(found: Results) -> pd.DataFrame:
    """Bounds on the margins of the reference problems."""
    names = ["problem", "afferents", "targets", "seed"]
    parts = ("low", "up", "gap", "rounds", "cuts", "support")
    columns = [f"{variant}_{part}" for variant in ("one_sided", "hold") for part in parts]
    return found.problems()[[*names, *columns, "online_margin", "free_largest_shift"]]


TABLES = {
    "margins": margins,
    "loads": Results.loads,
    "soft": lambda found: found.soft,
    "critical": Results.by_method,
    "kernels": lambda found: found.kernels,
    "speech": lambda found: found.speech,
}
#: Units of each kind of noise.
UNITS = {"jitter": "jitter, ms", "synaptic": "synaptic, of each weight", "membrane": "membrane, thresholds"}
#: Names of methods in tables.
METHODS = {
    "tsvm": "T-SVM",
    "one_sided": "T-SVM without hold window",
    "dead_zone": "static margin with dead zone",
    "lp": "largest margin in a box",
    "vertex": "random corner of the box",
    "least_squares": "least squares",
    "perceptron": "first-error perceptron",
}
#: Numbers of a prediction that have an interval.
INTERVALS = ("spearman", "partial", "measured_over_predicted")
#: Least partial rank correlation given the number of targets that is aimed for: a quarter of the variance of ranks.
PARTIAL_GOAL = 0.5
#: Largest predicted shift, in units of tau_c, for which prediction of timing is claimed.
SMALL_SHIFT = 0.1


def metrics(found: Results) -> dict[str, Any]:
    """The study's numbers in one mapping: step -> problem or setting -> number."""
    methods, ranks, timing = found.by_method(), found.rank_correlations(), found.timing()
    small = timing[timing["predicted"] <= SMALL_SHIFT * found.runs["tsvm_problem"][0].params["tau_c"]]
    speech = found.speech.set_index("task")
    return {
        "problems": {run.params["problem"]: run.metrics for run in found.runs["tsvm_problem"]},
        "load": {f"{run.params['targets']}": run.metrics for run in found.runs["tsvm_load"]}
        | {"feasible_rises": float(_rises(found.loads()))},
        "noise": {
            str(kind): {row["method"]: {"critical": row["critical"], "ratio": _interval_of(row, "ratio")}
            for row in one.to_dict("records")} for kind, one in methods.groupby("kind")
        },
        "prediction": {
            str(kind): {"targets": {"spearman": one["null"].iloc[0]}} | {
                row["prediction"]: {name: _interval_of(row, name) for name in INTERVALS}
                | {"within": _plain(row["within"])} for row in one.to_dict("records")
            }
            for kind, one in ranks.groupby("kind")
        },
        "timing": {
            "largest_error": float((small["ratio"] - 1).abs().max()) if len(small) else None,
            "levels": len(small),
        },
        "sweep": found.metrics("tsvm_sweep"),
        "brian": found.metrics("tsvm_brian"),
        "xor": {
            row.kernel: {"low": row.low, "up": row.up, "ratio": row.ratio, "infeasible": float(row.status ==
            "infeasible")} for row in found.kernels.itertuples()
        },
        "speech": {task: {name: float(value) for name, value in row.items()} for task, row in speech.iterrows()}
        | found.speech_means(),
    }  # fmt: skip


def _plain(value: float) -> float | None:
    """JSON has no nan."""
    return None if np.isnan(value) else value


def _interval_of(row: dict[str, Any], name: str) -> dict[str, float | None]:
    """value, low and high from the columns NAME, NAME_low and NAME_high."""
    return {key: _plain(row[name + end]) for key, end in (("value", ""), ("low", "_low"), ("high", "_high"))}


def _rises(loads: pd.DataFrame) -> int:
    """Steps of the load at which the feasible fraction rises by more than two standard errors."""
    table = loads.sort_values("load")
    step = table["feasible"].diff()
    error = (table["feasible_error"] ** 2 + table["feasible_error"].shift() ** 2) ** 0.5
    return int((step > 2 * error.clip(lower=1 / table["problems"].min())).sum())


def markdown(found: Results) -> str:
    """Results in words and tables, for the document and the report."""
    parts = (_margin_part, _load_part, _noise_part, _prediction_part, _kernel_part, _speech_part, _said)
    return "\n\n".join("\n".join(part(found)) for part in parts) + "\n"


def summary(found: Results) -> str:
    """Results in a few sentences, for the README."""
    return "\n".join(_said(found)) + "\n"


def _margin_part(found: Results) -> Iterator[str]:
    yield (
        "Largest dynamical margin of the reference problems, with and without hold window, as the interval that is "
        "proved; "
        "relative gap; rounds, cuts and temporal support vectors with hold window; what the online rule reaches."
    )
    yield ""
    yield (
        "| problem | afferents | targets | κ*, one-sided | κ*, hold window | gap | rounds | cuts | support | online "
        "rule |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for row in found.problems().itertuples():
        yield (
            f"| {row.problem} | {row.afferents} | {row.targets} | {_interval(row.one_sided_low, row.one_sided_up)} | "
            f"{_interval(row.hold_low, row.hold_up)} | {row.hold_gap:.1e} | {row.hold_rounds:.0f} | "
            f"{row.hold_cuts:.0f} | "
            f"{row.hold_support:.0f} | {row.online_margin:.5f} |"
        )


def _interval(low: float, up: float) -> str:
    return f"[{low:.8f}, {up:.8f}]"


def _load_part(found: Results) -> Iterator[str]:
    afferents = found.runs["tsvm_load"][0].params["afferents"]
    yield (
        f"By load, {afferents} afferents: fraction of problems for which a margin is proved, median margin of these, "
        f"and F1 "
        "of the free neuron without noise (± one standard error over problems) by the soft T-SVM and by the "
        "first-error "
        "perceptron, which need only come within 1 ms of a target."
    )
    yield ""
    yield "| spikes per synapse | problems | feasible | undecided | median κ | soft T-SVM F1 | perceptron F1 |"
    yield "|---:|---:|---:|---:|---:|---:|---:|"
    for row in found.loads().itertuples():
        margin = f"{row.margin_median:.3g}" if row.feasible > 0 else "-"
        yield (
            f"| {row.load:.2f} | {row.problems} | {row.feasible:.2f} | {row.undecided:.2f} | {margin} | "
            f"{row.soft_f1:.3f} ± {row.soft_f1_error:.3f} | {row.perceptron_f1:.3f} ± {row.perceptron_f1_error:.3f} |"
        )


def _noise_part(found: Results) -> Iterator[str]:
    settings = found.runs["tsvm_noise"][0].params
    yield (
        f"Noise at which half of {settings['draws']} trials have an error, geometric mean over {settings['problems']} "
        f"problems of {settings['afferents']} afferents for which a margin exists, and its ratio to the T-SVM's with "
        f"a 95 % "
        "bootstrap interval over problems. Every method is run to its end; *converged* is the share of problems on "
        "which "
        "it ended by itself. Where a method fails without noise, the level counts as 0.001."
    )
    table = found.by_method()
    kinds = [kind for kind in UNITS if kind in set(table["kind"])]
    yield ""
    yield "| method | converged | " + " | ".join(f"{UNITS[kind]} | ratio" for kind in kinds) + " |"
    yield "|---|---:" + "|---:|---:" * len(kinds) + "|"
    for method in table["method"].unique():
        one = table[table["method"] == method].set_index("kind")
        cells = [METHODS[method], f"{one['converged'].iloc[0]:.0%}"]
        for kind in kinds:
            row = one.loc[kind]
            cells += [f"{row['critical']:.3g}", f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"]
        yield f"| {' | '.join(cells)} |"


def _prediction_part(found: Results) -> Iterator[str]:
    yield (
        "The T-SVM's critical noise, measured and predicted, by rank correlation over problems with 95 % bootstrap "
        "intervals over problems. *Targets alone*: the rank correlation of the number of targets, which knows nothing "
        "of the margin; *given targets*: the partial rank correlation of the prediction given that number; *within*: "
        "the mean over groups of equally many targets; *measured/predicted*: geometric mean. By margin: κ\\|w\\| over "
        "the mean noise of the potential. By survival: from the whole potential."
    )
    yield ""
    yield "| noise | predicted by | rank correlation | targets alone | given targets | within | measured/predicted |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for row in found.rank_correlations().to_dict("records"):
        within = "-" if np.isnan(row["within"]) else f"{row['within']:.2f}"
        cells = [row["kind"], row["prediction"].removeprefix("by_"), _ranged(row, "spearman"), f"{row['null']:.2f}"]
        cells += [_ranged(row, "partial"), within, f"{row['measured_over_predicted']:.2f}"]
        yield f"| {' | '.join(cells)} |"


def _ranged(row: dict[str, Any], name: str) -> str:
    """`0.93 [0.78, 0.98]`."""
    return f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"


def _kernel_part(found: Results) -> Iterator[str]:
    yield (
        "The exclusive-or by kernel, one-sided: the proved margin, each in its own norm, or |w|/G of the proof that "
        "there "
        "is none; and the share of noisy patterns on which the neuron is right, at the strongest noise of each kind."
    )
    noise = found.xor[found.xor.groupby("kind")["level"].transform("max") == found.xor["level"]]
    levels = {kind: one["level"].max() for kind, one in noise.groupby("kind")}
    yield ""
    yield f"| kernel | status | κ* | membrane {levels['membrane']:g} θ | jitter {levels['jitter']:g} ms |"
    yield "|---|---|---:|---:|---:|"
    for row in found.kernels.itertuples():
        value = f"{row.ratio:.0e}" if row.status == "infeasible" else _interval(row.low, row.up)
        right = noise[noise["kernel"] == row.kernel].set_index("kind")["right"]
        cells = [f"{right[kind]:.2f}" if kind in right else "-" for kind in ("membrane", "jitter")]
        yield f"| {row.kernel} | {row.status} | {value} | {' | '.join(cells)} |"


def _speech_part(found: Results) -> Iterator[str]:
    yield (
        "Two speakers, test accuracy: T-SVM with a spike at the end of the utterance (and the share of the firing "
        "class "
        "with exactly one spike, on time), T-SVM with a spike at any time, the tempotron, and linear classifiers on "
        "the "
        "first spike of each afferent; ± one binomial standard error."
    )
    yield ""
    names = ["T-SVM, end", "on time", "T-SVM, any time", "tempotron", "linear SVM", "logistic", "larger class", "test"]
    yield f"| speakers | {' | '.join(names)} |"
    yield "|---" + "|---:" * len(names) + "|"
    for row in found.speech.itertuples():
        _, null, target = row.task.split("_")
        values = [row.timed, row.on_time, row.binary, row.tempotron, row.svm, row.logistic]
        counts = [row.n_test, row.n_firing, *[row.n_test] * 4]
        cells = [f"{p:.3f} ± {(p * (1 - p) / n) ** 0.5:.3f}" for p, n in zip(values, counts, strict=True)]
        yield f"| {null}, {target} | {' | '.join(cells)} | {row.chance:.3f} | {row.n_test} |"


def _said(found: Results) -> Iterator[str]:
    """Sentences, each decided by the numbers."""
    problems = found.problems()
    done = problems[["one_sided_certified", "hold_certified"]].sum().sum()
    gap = problems[["one_sided_gap", "hold_gap"]].max().max()
    rounds = problems["hold_rounds"].max()
    yield f"* {done:.0f} of {2 * len(problems)} margins are proved to within {gap:.0e}, in at most {rounds:.0f} rounds."
    table = found.by_method()
    for kind, one in table.groupby("kind", sort=False):
        others = one[one["method"] != "tsvm"]
        worse = [METHODS[m] for m in others[others["ratio_high"] < 1]["method"]]
        better = [METHODS[m] for m in others[others["ratio_low"] > 1]["method"]]
        text = f"* Under {kind} noise the T-SVM bears more than {_listed(worse)}"
        yield text + (f", and less than {_listed(better)}." if better else "; no method clearly bears more.")
    ranks = found.rank_correlations()
    for kind, one in ranks.groupby("kind", sort=False):
        margin, survival = (row for _, row in one.set_index("prediction").loc[["by_margin", "by_survival"]].iterrows())
        beyond = margin["partial_low"] > 0
        verdict = "above" if margin["partial"] >= PARTIAL_GOAL and beyond else "not clearly above"
        yield (
            f"* Given the number of targets, which alone ranks the critical {kind} noise of problems at "
            f"{margin['null']:.2f}, κ\\|w\\|/(mean noise of V) ranks it at {_ranged(margin, 'partial')}: {verdict} "
            f"what the number of targets tells; prediction by survival at {_ranged(survival, 'partial')}, "
            f"with a level {survival['measured_over_predicted']:.2f} times the predicted."
        )
    brian = found.metrics("tsvm_brian")
    missed = sum(value for name, value in brian.items() if name.startswith(("missed_", "extra_")))
    late = max(value for name, value in brian.items() if name.startswith("delay_high_"))
    yield (
        f"* Brian2 misses or adds {missed:.0f} spikes, comes at most {late:.2f} time steps late, and makes "
        f"{brian['noise_same']:.1%} of the same spikes under the same membrane noise."
    )
    impossible = found.kernels[found.kernels["status"] == "infeasible"]["kernel"]
    yield f"* The exclusive-or is proved impossible for {_listed(list(impossible))}."


def _listed(names: list[str]) -> str:
    if len(names) < 2:
        return names[0] if names else "none"
    return f"{', '.join(names[:-1])} and {names[-1]}"
