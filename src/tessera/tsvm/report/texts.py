"""Results of the T-SVM study in tables and sentences, in Markdown."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tessera.common.markdown import table as markdown_table
from tessera.tsvm import summaries
from tessera.tsvm.report import tables
from tessera.tsvm.report.results import Results

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
#: The same in sentences.
NAMED = METHODS | {
    "one_sided": "the T-SVM without hold window",
    "dead_zone": "the static margin with dead zone",
    "lp": "the largest margin in a box",
    "vertex": "a random corner of the box",
    "perceptron": "the first-error perceptron",
}
#: Least partial rank correlation given the number of targets that is aimed for: a quarter of the variance of ranks.
PARTIAL_GOAL = 0.5


def markdown(results: Results) -> str:
    """What the T-SVM study found, in tables and in sentences. The study's README has the same text."""
    parts = (_margins, _loads, _noise, _prediction, _kernels, _speech, _sentences)
    return "\n\n".join("\n".join(part(results)).strip("\n") for part in parts) + "\n"


def summary(results: Results) -> str:
    """What the T-SVM study found, in a few sentences."""
    return "\n".join(_sentences(results)) + "\n"


def _margins(results: Results) -> list[str]:
    header = ["problem", "afferents", "targets", "κ*, one-sided", "κ*, hold window", "gap", "rounds", "cuts", "support"]
    rows = [
        (
            *(row.problem, str(row.afferents), str(row.targets)),
            _bounds(row.one_sided_low, row.one_sided_up),
            _bounds(row.hold_low, row.hold_up),
            f"{row.hold_gap:.1e}",
            *(f"{value:.0f}" for value in (row.hold_rounds, row.hold_cuts, row.hold_support)),
            f"{row.online_margin:.5f}",
        )
        for row in tables.problems(results).itertuples()
    ]
    return [
        "Largest dynamical margin of the reference problems, with and without hold window, as the interval that is "
        "proved; relative gap, rounds, cuts and temporal support vectors with hold window; margin that the online rule "
        "reaches.",
        "",
        *markdown_table([*header, "online rule"], rows),
    ]


def _bounds(low: float, up: float) -> str:
    return f"[{low:.8f}, {up:.8f}]"


def _loads(results: Results) -> list[str]:
    header = ["spikes per synapse", "problems", "feasible", "undecided", "median κ", "soft T-SVM F1", "perceptron F1"]
    rows = [
        (
            *(f"{row.load:.2f}", str(row.problems), f"{row.feasible:.2f}", f"{row.undecided:.2f}"),
            f"{row.margin_median:.3g}" if row.feasible > 0 else "-",
            f"{row.soft_f1:.3f} ± {row.soft_f1_error:.3f}",
            f"{row.perceptron_f1:.3f} ± {row.perceptron_f1_error:.3f}",
        )
        for row in summaries.loads(results.load).itertuples()
    ]
    return [
        f"By load, {results.params.load.afferents} afferents: fraction of problems for which a margin is proved, "
        "median margin of these, and F1 of the free neuron without noise (± one standard error over problems) for the "
        "soft T-SVM and for the first-error perceptron, which need only come within 1 ms of a target.",
        "",
        *markdown_table(header, rows, text_columns=0),
    ]


def _noise(results: Results) -> list[str]:
    p, table = results.params.noise, results.methods
    kinds = [kind for kind in UNITS if kind in set(table["kind"])]
    rows = []
    for method in table["method"].unique():
        by_kind = table[table["method"] == method].set_index("kind")
        cells = [METHODS[method], f"{by_kind['converged'].iloc[0]:.0%}"]
        for kind in kinds:
            row = by_kind.loc[kind].to_dict()
            cells += [f"{row['critical']:.3g}", _ranged(row, "ratio")]
        rows.append(cells)
    header = ["method", "converged", *(name for kind in kinds for name in (UNITS[kind], "ratio"))]
    return [
        f"Noise at which half of {p.draws} trials have an error, geometric mean over {p.problems} problems of "
        f"{p.afferents} afferents for which a margin exists, and its ratio to the T-SVM's with a 95 % bootstrap "
        "interval over problems. Every method is run to its end; *converged* is the share of problems on which it "
        "ended by itself. If a method fails without noise, the level counts as 0.001.",
        "",
        *markdown_table(header, rows),
    ]


def _prediction(results: Results) -> list[str]:
    rows = []
    for row in results.ranks.to_dict("records"):
        within = "-" if np.isnan(row["within"]) else f"{row['within']:.2f}"
        cells = [row["kind"], row["prediction"].removeprefix("by_"), _ranged(row, "spearman"), f"{row['null']:.2f}"]
        rows.append([*cells, _ranged(row, "partial"), within, f"{row['measured_over_predicted']:.2f}"])
    header = ["noise", "predicted by", "rank correlation", "targets alone", "given targets", "within"]
    return [
        "The T-SVM's critical noise, measured and predicted, by rank correlation over problems with 95 % bootstrap "
        "intervals over problems. *Targets alone*: the rank correlation of the number of targets, which knows nothing "
        "of the margin; *given targets*: the partial rank correlation of the prediction given that number; *within*: "
        "the mean over groups of equally many targets; *measured/predicted*: geometric mean. By margin: κ\\|w\\| over "
        "the mean noise of the potential. By survival: from the whole potential.",
        "",
        *markdown_table([*header, "measured/predicted"], rows, text_columns=2),
    ]


def _ranged(row: dict[str, Any], name: str) -> str:
    """`0.93 [0.78, 0.98]`."""
    return f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"


def _kernels(results: Results) -> list[str]:
    noise = results.xor_noise
    strongest = noise[noise.groupby("kind")["level"].transform("max") == noise["level"]]
    levels = strongest.groupby("kind")["level"].max()
    rows = []
    for row in results.xor_margins.itertuples():
        value = f"{row.ratio:.0e}" if row.status == "infeasible" else _bounds(row.low, row.up)
        right = strongest[strongest["kernel"] == row.kernel].set_index("kind")["right"]
        cells = [f"{right[kind]:.2f}" if kind in right else "-" for kind in ("membrane", "jitter")]
        rows.append([row.kernel, row.status, value, *cells])
    header = ["kernel", "status", "κ*", f"membrane {levels['membrane']:g} θ", f"jitter {levels['jitter']:g} ms"]
    return [
        "The exclusive-or by kernel, one-sided: the proved margin, each in its own norm, or \\|w\\|/G of the proof "
        "that there is none; and the share of noisy patterns on which the neuron is right, at the strongest noise of "
        "each kind.",
        "",
        *markdown_table(header, rows, text_columns=2),
    ]


def _speech(results: Results) -> list[str]:
    names = ["T-SVM, end", "on time", "T-SVM, any time", "tempotron", "linear SVM", "logistic", "larger class", "test"]
    rows = []
    for row in results.speech.itertuples():
        _, null, target = row.task.split("_")
        values = [row.timed, row.on_time, row.binary, row.tempotron, row.svm, row.logistic]
        counts = [row.n_test, row.n_firing, *[row.n_test] * 4]
        cells = [f"{p:.3f} ± {(p * (1 - p) / n) ** 0.5:.3f}" for p, n in zip(values, counts, strict=True)]
        rows.append([f"{null}, {target}", *cells, f"{row.chance:.3f}", str(row.n_test)])
    return [
        "Two speakers, test accuracy: T-SVM with a spike at the end of the utterance (and the share of the firing "
        "class with exactly one spike, on time), T-SVM with a spike at any time, the tempotron, and linear classifiers "
        "on the first spike of each afferent; ± one binomial standard error.",
        "",
        *markdown_table(["speakers", *names], rows),
    ]


def _sentences(results: Results) -> Iterator[str]:
    """Sentences, each decided by the numbers."""
    problems = tables.problems(results)
    certified = problems[["one_sided_certified", "hold_certified"]].sum().sum()
    gap = problems[["one_sided_gap", "hold_gap"]].max().max()
    rounds = problems["hold_rounds"].max()
    yield (
        f"* {certified:.0f} of {2 * len(problems)} margins are proved to within {gap:.0e}, in at most {rounds:.0f} "
        "rounds."
    )
    for kind, group in results.methods.groupby("kind", sort=False):
        others = group[group["method"] != "tsvm"]
        worse = [NAMED[method] for method in others[others["ratio_high"] < 1]["method"]]
        better = [NAMED[method] for method in others[others["ratio_low"] > 1]["method"]]
        less = f", and less than {_listed(better)}." if better else "; no method clearly tolerates more."
        where = "jitter" if kind == "jitter" else f"{kind} noise"
        yield f"* Under {where}, the T-SVM tolerates more noise than {_listed(worse)}{less}"
    for kind, group in results.ranks.groupby("kind", sort=False):
        by = {row["prediction"]: row for row in group.to_dict("records")}
        margin, survival = by["by_margin"], by["by_survival"]
        beyond = margin["partial_low"] > 0
        verdict = "above" if margin["partial"] >= PARTIAL_GOAL and beyond else "not clearly above"
        yield (
            f"* Given the number of targets, which by itself ranks the critical {kind} noise of problems at "
            f"{margin['null']:.2f}, κ\\|w\\|/(mean noise of V) ranks it at {_ranged(margin, 'partial')}: {verdict} "
            f"what the number of targets explains. Prediction by survival ranks it at {_ranged(survival, 'partial')}; "
            f"the measured level is {survival['measured_over_predicted']:.2f} times the predicted one."
        )
    missed = sum(value for name, value in results.brian.items() if name.startswith(("missed_", "extra_")))
    late = max(value for name, value in results.brian.items() if name.startswith("delay_high_"))
    yield (
        f"* Brian2 misses or adds {missed:.0f} spikes, is at most {late:.2f} time steps late, and produces "
        f"{results.brian['noise_same']:.1%} of the same spikes under the same membrane noise."
    )
    impossible = results.xor_margins[results.xor_margins["status"] == "infeasible"]["kernel"]
    yield f"* The exclusive-or is proved impossible for these kernels: {_listed(list(impossible))}."


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return names[0] if names else "none"
    return f"{', '.join(names[:-1])} and {names[-1]}"
