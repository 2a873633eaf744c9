"""Tables of the tempotron study, the numbers that claims refer to, and its results in words."""

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd

from tessera.common import markdown as md
from tessera.common.files import Json
from tessera.tempotron.report.results import Results

#: The load a perceptron reaches.
PERCEPTRON = 2.0


def theory(results: Results) -> pd.DataFrame:
    """Capacities by replica theory: of K independent bins, and of the potential in continuous time with its standard
    error over sampled traces.

    Bins: replica symmetric, one step, one step without overlap between clusters, leading order; theta, x and q0 of the
    one-step solution.
    """
    process = results.continuous.rename(columns={"zero_overlap": "continuous", "error": "continuous_error"})
    columns = ["k", "continuous", "continuous_error"]
    return results.capacity.merge(process[columns], on="k", how="outer").sort_values("k", ignore_index=True)


def findable(results: Results) -> pd.DataFrame:
    """Loads at which the learning rule solves half of the tasks, with 95 % intervals over tasks, and the budget for
    which they hold."""
    budget = results.findable.groupby(["n", "k"])[["rate", "momentum", "max_epochs"]].first()
    return results.crossings.merge(budget.reset_index(), on=["n", "k"])


def solvable(results: Results) -> pd.DataFrame:
    """Counts of random tasks that some weights solve, by mixed-integer programming, the solvable fraction with its
    binomial standard error, and Cover's exact probability at K = 1."""
    return results.solvable()


def clusters(results: Results) -> pd.DataFrame:
    """Solutions found, their mean overlaps, the share of pairs joined by a straight line, and how far a random walk
    gets, by input, K and load."""
    return results.clusters()


def accuracy(results: Results) -> pd.DataFrame:
    """Test accuracy on real inputs, mean over splits, of the tempotron, of logistic regression on the first spike of
    each afferent, and of always choosing the larger class."""
    return results.accuracy()


def metrics(results: Results) -> Json:
    """The study's numbers in one mapping: step -> K or task -> number."""
    capacities = theory(results).set_index("k")
    names = ("one_step", "zero_overlap", "replica_symmetric", "continuous")
    cover = results.solvable().query("k == 1")
    control, others = _compared(results)
    return {
        "theory": {name: {f"{k:g}": value for k, value in capacities[name].dropna().items()} for name in names},
        "maximum": {
            f"{numbers['k']:g}": {name: value for name, value in numbers.items() if name != "k"}
            for numbers in results.distances
        },
        "findable": {
            f"k{row['k']:g}_n{row['n']}": {
                name: row[name] for name in ("load", "low", "high") if np.isfinite(row[name])
            }
            for row in results.crossings.to_dict("records")
        }
        | {"falls_with_k": len(_falls(results))},
        "existence": {
            "undecided": int(results.existence["undecided"].sum()),
            "cover_largest_z": float(_cover_z(cover).max()) if len(cover) else 0.0,
        },
        "clusters": {
            "control_connected_pairs": float(control["connected_pairs"].min()) if len(control) else None,
            "other_connected_pairs": float(others["connected_pairs"].max()) if len(others) else None,
        },
        "ablation": results.of_ablation(),
        "brian": results.checks,
        "real": results.of_real(),
    }


def _cover_z(cover: pd.DataFrame) -> pd.Series:
    """Distance of each solvable fraction from Cover's probability, in standard errors of the latter."""
    return (cover["fraction"] - cover["cover"]).abs() / np.sqrt(cover["cover"] * (1 - cover["cover"]) / cover["runs"])


def _compared(results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the perceptron, and of K > 1, that have at least two solutions of some task."""
    table = results.clusters()
    table = table[table["tasks"] > 0]
    control = (table["inputs"] == "bins") & (table["k"] == 1)
    return table[control], table[~control]


def _falls(results: Results) -> list[str]:
    """Steps from one K to the next at which what learning finds falls by more than both 95 % intervals allow."""
    falls = []
    for n, rows in results.crossings.groupby("n"):
        pairs = itertools.pairwise(rows.itertuples())
        falls += [f"K = {a.k:g} to {b.k:g}, N = {n}" for a, b in pairs if b.high < a.low]
    return falls


def markdown(results: Results) -> str:
    """Results of the tempotron study in tables and words; its README shows them as well."""
    lines = [*_capacity_part(results), *_real_part(results), *(f"* {line}" for line in _sentences(results))]
    return "\n".join(lines) + "\n"


def _capacity_part(results: Results) -> list[str]:
    tasks, learnt = results.findable, results.crossings.set_index(["n", "k"])
    sizes = sorted(tasks["n"].unique())
    header = ["K", "RS, bins", "1RSB, bins", "q0 = 0, bins", "q0 = 0, process"]
    header += [f"learning finds, N = {n}" for n in sizes]
    capacities = theory(results).set_index("k")
    rows = []
    for k in sorted({*capacities.index, *tasks["k"]}):
        row = capacities.loc[k] if k in capacities.index else pd.Series(dtype=float)
        cells = [f"{k:g}", *(_number(row.get(name)) for name in ("replica_symmetric", "one_step", "zero_overlap"))]
        error = row.get("continuous_error", np.nan)
        cells.append("-" if np.isnan(error) else f"{row['continuous']:.2f} ± {1.96 * error:.2f}")
        rows.append([*cells, *(_interval(learnt.loc[(n, k)]) if (n, k) in learnt.index else "-" for n in sizes)])
    return [
        "Patterns per synapse, P/N, that a neuron with K independent times can classify. 1RSB: replica theory with "
        "one step of symmetry breaking, of K independent bins and, as *process*, of the neuron's own potential; "
        "q0 = 0: without overlap between clusters. *Learning finds*: half of the tasks are solved within "
        f"{tasks['max_epochs'].iloc[0]:,} epochs, a lower bound, with 95 % intervals over tasks; "
        "± is 1.96 standard errors.",
        "",
        *md.table(header, rows, text_columns=0),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.2f}"


def _interval(row: pd.Series) -> str:
    if np.isnan(row["load"]):
        return "outside the loads tried"
    ends = [f"{row[name]:.2f}" if np.isfinite(row[name]) else "?" for name in ("low", "high")]
    return f"{row['load']:.2f} [{ends[0]}, {ends[1]}]"


def _real_part(results: Results) -> list[str]:
    rows = []
    for row in results.accuracy().itertuples():
        source, null, target = row.task.split("_")
        values = [f"{row.tempotron:.3f} ± {row.tempotron_error:.3f}", f"{row.logistic:.3f} ± {row.logistic_error:.3f}"]
        rows.append([f"{source} {null}, {target}", *values, f"{row.chance:.3f}", f"{row.test_patterns}"])
    return [
        "Test accuracy on real inputs, ± one binomial standard error over all test patterns:",
        "",
        *md.table(("task", "tempotron", "logistic regression", "larger class", "test patterns"), rows),
    ]


def _sentences(results: Results) -> Iterator[str]:
    """Sentences, each decided by the numbers."""
    yield from _learning_sentences(results)
    yield from _space_sentences(results)
    checks, real, table = results.checks, results.of_real(), results.accuracy()
    yield (
        f"Brian2 decides as the exact maximum does on all but {checks['disagree_certain']:.0f} of the "
        f"{checks['certain']:.0f} patterns (of {checks['patterns']:.0f}) that its grid can decide."
    )
    yield (
        f"On recorded receptors the largest potential differs from the Rice law by {real['receptor_sup_rice']:.2f} in "
        f"probability at their own K of {real['receptor_k']:.0f}, and by {real['receptor_sup_rice_poisson_k']:.2f} at "
        f"that of Poisson input, {real['receptor_k_poisson']:.0f}."
    )
    worse = [name.replace("_", " ") for name in table[table["tempotron"] < table["logistic"]]["task"]]
    yield f"On {len(worse)} of {len(table)} real tasks the tempotron is less accurate than logistic regression" + (
        f": {', '.join(worse)}." if worse else "."
    )


def _learning_sentences(results: Results) -> Iterator[str]:
    largest = results.crossings
    largest = largest[largest["n"] == largest["n"].max()]
    for row in largest.dropna(subset=["low"]).itertuples():
        side = "beyond" if row.low > PERCEPTRON else "not clearly beyond" if row.load > PERCEPTRON else "below"
        yield f"At K = {row.k:g}, N = {row.n}, learning finds solutions {side} the perceptron's load of 2."
    if falls := _falls(results):
        yield (
            f"The load that learning solves falls with K, beyond the intervals, at {'; '.join(falls)}, although theory "
            "predicts a rise."
        )
    else:
        yield "The load that learning solves does not fall with K, within the intervals."
    solved = {name: value for name, value in results.of_ablation().items() if name.startswith("solved_")}
    parts = [f"{value:.0%} with momentum {name.rpartition('_')[2]}" for name, value in sorted(solved.items())]
    yield f"In the ablation the rule solves {', '.join(parts)} of the tasks, over all learning rates."


def _space_sentences(results: Results) -> Iterator[str]:
    cover = results.solvable().query("k == 1")
    if len(cover):
        yield (
            f"Exact existence at K = 1 lies within {_cover_z(cover).max():.1f} standard errors of Cover's count at "
            f"every load; {results.existence['undecided'].sum()} of {results.existence['runs'].sum()} tasks remained "
            "undecided."
        )
    control, others = _compared(results)
    if len(control) and len(others):
        yield (
            f"Straight chords join {control['connected_pairs'].min():.0%} of the perceptron's pairs of solutions, and "
            f"at most {others['connected_pairs'].max():.0%} at K > 1."
        )
    unsolved = results.clusters().query("tasks == 0")
    if len(unsolved):
        names = [f"{row.inputs} at K = {row.k}, load {row.load:g}" for row in unsolved.itertuples()]
        yield f"Learning found too few solutions to compare within its epochs: {'; '.join(names)}."
