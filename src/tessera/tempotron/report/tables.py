"""Tables of the tempotron study, the numbers that claims refer to, and what they say in words."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from tessera.tempotron.report.results import Results

#: The load a perceptron reaches.
PERCEPTRON = 2.0


def theory(found: Results) -> pd.DataFrame:
    """Capacities by K of bins, and of the potential in continuous time with its standard error."""
    process = found.continuous.rename(columns={"zero_overlap": "continuous", "error": "continuous_error"})
    columns = ["k", "continuous", "continuous_error"]
    return found.capacity.merge(process[columns], on="k", how="outer").sort_values("k", ignore_index=True)


def findable(found: Results) -> pd.DataFrame:
    """Loads at which learning solves half of the tasks, with the budget that they hold for."""
    budget = found.findable.groupby(["n", "k"])[["rate", "momentum", "max_epochs"]].first()
    return found.crossings().merge(budget.reset_index(), on=["n", "k"])


TABLES = {
    "theory": theory,
    "findable": findable,
    "solvable": Results.existence_with_cover,
    "clusters": Results.clusters,
    "accuracy": Results.accuracy,
}


def metrics(found: Results) -> dict[str, Any]:
    """The study's numbers in one mapping: step -> K or task -> number."""
    capacities = theory(found).set_index("k")
    names = ("one_step", "zero_overlap", "replica_symmetric", "continuous")
    cover = found.existence_with_cover().query("k == 1")
    control, others = _clusters(found)
    return {
        "theory": {name: {f"{k:g}": value for k, value in capacities[name].dropna().items()} for name in names},
        "maximum": {f"{run.params['k']:g}": run.metrics for run in found.runs["tempotron_maximum"]},
        "findable": {
            f"k{row.k:g}_n{row.n}": {name: getattr(row, name) for name in ("load", "low", "high") if _is(row, name)}
            for row in found.crossings().itertuples()
        }
        | {"falls_with_k": len(_falls(found))},
        "existence": {
            "undecided": int(found.existence["undecided"].sum()),
            "cover_largest_z": float(_cover_z(cover).max()) if len(cover) else 0.0,
        },
        "clusters": {
            "control_connected_pairs": float(control["connected_pairs"].min()) if len(control) else None,
            "other_connected_pairs": float(others["connected_pairs"].max()) if len(others) else None,
        },
        "ablation": found.metrics("tempotron_ablation"),
        "brian": found.metrics("tempotron_brian"),
        "real": found.metrics("tempotron_inputs"),
    }


def _is(row: Any, name: str) -> bool:
    return bool(np.isfinite(getattr(row, name)))


def _cover_z(cover: pd.DataFrame) -> pd.Series:
    """Distance of each solvable fraction from Cover's probability, in standard errors of the latter."""
    return (cover["fraction"] - cover["cover"]).abs() / np.sqrt(cover["cover"] * (1 - cover["cover"]) / cover["runs"])


def _clusters(found: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the perceptron, and of K > 1, where at least two solutions of a task were found."""
    table = found.clusters()
    table = table[table["tasks"] > 0]
    control = (table["inputs"] == "bins") & (table["k"] == 1)
    return table[control], table[~control]


def _falls(found: Results) -> list[str]:
    """Steps from one K to the next at which what learning finds falls by more than both 95 % intervals allow."""
    falls = []
    for n, one in found.crossings().groupby("n"):
        pairs = itertools.pairwise(one.itertuples())
        falls += [f"K = {a.k:g} to {b.k:g}, N = {n}" for a, b in pairs if b.high < a.low]
    return falls


def markdown(found: Results) -> str:
    """Results in words and tables, for the README and the report."""
    lines = [*_capacity_part(found), "", *_real_part(found), "", *(f"* {line}" for line in _said(found))]
    return "\n".join(lines) + "\n"


def _capacity_part(found: Results) -> Iterator[str]:
    runs = found.findable
    yield (
        "Patterns per synapse, P/N, that a neuron with K independent times can tell apart. 1RSB: replica theory with "
        "one step of symmetry breaking, of K independent bins and, as *process*, of the neuron's own potential; "
        "q0 = 0: without overlap between clusters. *Learning finds*: half of the tasks are solved within "
        f"{runs['max_epochs'].iloc[0]:,} epochs, a lower bound, with 95 % intervals over tasks; "
        f"± is 1.96 standard errors."
    )
    sizes = sorted(runs["n"].unique())
    yield ""
    yield "| K | RS, bins | 1RSB, bins | q0 = 0, bins | q0 = 0, process | " + " | ".join(
        f"learning finds, N = {n}" for n in sizes
    ) + " |"  # fmt: skip
    yield "|---:" * (5 + len(sizes)) + "|"
    capacities, learnt = theory(found).set_index("k"), found.crossings().set_index(["n", "k"])
    for k in sorted({*capacities.index, *runs["k"]}):
        row = capacities.loc[k] if k in capacities.index else pd.Series(dtype=float)
        cells = [f"{k:g}", *(_number(row.get(name)) for name in ("replica_symmetric", "one_step", "zero_overlap"))]
        error = row.get("continuous_error", np.nan)
        cells.append("-" if np.isnan(error) else f"{row['continuous']:.2f} ± {1.96 * error:.2f}")
        cells += [_interval(learnt.loc[(n, k)]) if (n, k) in learnt.index else "-" for n in sizes]
        yield f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.2f}"


def _interval(row: pd.Series) -> str:
    if np.isnan(row["load"]):
        return "outside the loads tried"
    ends = [f"{row[name]:.2f}" if np.isfinite(row[name]) else "?" for name in ("low", "high")]
    return f"{row['load']:.2f} [{ends[0]}, {ends[1]}]"


def _real_part(found: Results) -> Iterator[str]:
    yield "Test accuracy on real inputs, ± one binomial standard error over all test patterns:"
    yield ""
    yield "| task | tempotron | logistic regression | larger class | test patterns |"
    yield "|---|---:|---:|---:|---:|"
    for row in found.accuracy().itertuples():
        source, null, target = row.task.split("_")
        yield (
            f"| {source} {null}, {target} | {row.tempotron:.3f} ± {row.tempotron_error:.3f} "
            f"| {row.logistic:.3f} ± {row.logistic_error:.3f} | {row.chance:.3f} | {row.test_patterns} |"
        )


def _said(found: Results) -> Iterator[str]:
    """Sentences, each decided by the numbers."""
    largest = found.crossings()
    largest = largest[largest["n"] == largest["n"].max()]
    for row in largest.dropna(subset=["low"]).itertuples():
        side = "beyond" if row.low > PERCEPTRON else "not clearly beyond" if row.load > PERCEPTRON else "below"
        yield f"At K = {row.k:g}, N = {row.n}, learning finds solutions {side} the perceptron's load of 2."
    falls = _falls(found)
    if falls:
        yield f"What learning finds falls with K, beyond the intervals, at {'; '.join(falls)}: theory says it rises."
    else:
        yield "What learning finds does not fall with K, within the intervals."
    cover = found.existence_with_cover().query("k == 1")
    if len(cover):
        yield (
            "Exact existence at K = 1 lies within "
            f"{_cover_z(cover).max():.1f} standard errors of Cover's count at every load; "
            f"{found.existence['undecided'].sum()} of {found.existence['runs'].sum()} tasks stayed undecided."
        )
    control, others = _clusters(found)
    if len(control) and len(others):
        yield (
            f"Straight chords join {control['connected_pairs'].min():.0%} of the perceptron's pairs of solutions, and "
            f"at most {others['connected_pairs'].max():.0%} at K > 1."
        )
    unsolved = found.clusters().query("tasks == 0")
    if len(unsolved):
        named = [f"{row.inputs} at K = {row.k}, load {row.load:g}" for row in unsolved.itertuples()]
        yield f"Too few solutions to compare were found within the epochs of: {'; '.join(named)}."
    solved = {name: value for name, value in found.metrics("tempotron_ablation").items() if name.startswith("solved_")}
    parts = [f"{value:.0%} with momentum {name.rpartition('_')[2]}" for name, value in sorted(solved.items())]
    yield f"Of the tasks of the ablation the rule solves {', '.join(parts)}, over all learning rates."
    brian = found.metrics("tempotron_brian")
    yield (
        f"Brian2 decides as the exact maximum does on all but {brian['disagree_certain']:.0f} of the "
        f"{brian['certain']:.0f} patterns (of {brian['patterns']:.0f}) that its grid can decide."
    )
    inputs = found.metrics("tempotron_inputs")
    yield (
        f"On recorded receptors the largest potential is off the Rice law by {inputs['receptor_sup_rice']:.2f} in "
        f"probability at their own K of {inputs['receptor_k']:.0f}, and by {inputs['receptor_sup_rice_poisson_k']:.2f} "
        f"at that of Poisson input, {inputs['receptor_k_poisson']:.0f}."
    )
    table = found.accuracy()
    worse = table[table["tempotron"] < table["logistic"]]["task"]
    yield (
        f"On {len(worse)} of {len(table)} real tasks the tempotron is below logistic regression"
        + (f": {', '.join(name.replace('_', ' ') for name in worse)}." if len(worse) else ".")
    )
