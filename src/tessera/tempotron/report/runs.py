"""The study's runs for MLflow, one per job, from its result files."""

from collections.abc import Iterator

import numpy as np

from tessera.common.run_files import RunRecord
from tessera.tempotron.report.results import Results
from tessera.tempotron.report.tables import theory


def runs(results: Results) -> Iterator[RunRecord]:
    """One run for the theory, the ablation, Brian2 and the real inputs, one per K, size and input of the others."""
    yield from _theory(results)
    yield from _findable(results)
    yield from _existence(results)
    yield from _solutions(results)
    yield RunRecord(
        experiment="tempotron/ablation",
        name="ablation",
        job="tempotron_ablation",
        params=_params(results, "neuron", "ablation"),
        tags=_seed(results),
        metrics=results.of_ablation(),
        figures=["ablation"],
        note="Solved fractions by momentum, over all rates, without margin; accuracies under jitter by margin.",
    )
    yield RunRecord(
        experiment="tempotron/brian",
        name="Brian2",
        job="tempotron_brian",
        params=_params(results, "neuron", "brian"),
        tags=_seed(results),
        metrics=results.checks,
        figures=["trace"],
        note="Certain patterns are those whose exact maximum is farther from the threshold than the grid's error.",
    )
    yield RunRecord(
        experiment="tempotron/real",
        name="real inputs",
        job="tempotron_real",
        inputs=["data/raw"],
        params=_params(results, "neuron", "real"),
        tags=_seed(results),
        metrics=results.of_real(),
        figures=["real"],
        note="Test accuracy, mean over grouped splits. The logistic regression sees the first spike of each afferent: "
        "all there is in a latency code, part of a level-crossing code.",
    )


def _params(results: Results, *sections: str) -> dict[str, dict]:
    return {"tempotron": {name: getattr(results.params, name).model_dump(mode="json") for name in sections}}


def _seed(results: Results) -> dict[str, str]:
    return {"seed": str(results.seed)}


def _theory(results: Results) -> Iterator[RunRecord]:
    names = ("one_step", "zero_overlap", "replica_symmetric", "continuous")
    table = theory(results).set_index("k")
    yield RunRecord(
        experiment="tempotron/replica",
        name="replica theory",
        job="tempotron_replica",
        params=_params(results, "neuron", "theory"),
        tags=_seed(results),
        metrics={f"{name}_k_{k:g}": float(value) for name in names for k, value in table[name].dropna().items()},
        figures=["capacity", "planted"],
        note="Capacities of K independent bins and, continuous, of the potential without overlap of clusters. One-step "
        "breaking is a prediction, not a bound: its stability is unchecked.",
    )
    for distances in results.distances:
        k = distances["k"]
        yield RunRecord(
            experiment="tempotron/maximum",
            name=f"K {k:g}",
            job=f"tempotron_maximum/k{k}",
            params=_params(results, "neuron", "maximum") | {"k": k},
            tags=_seed(results),
            metrics={name: value for name, value in distances.items() if name != "k"},
            figures=["maximum"],
            note="sup: largest difference between the distributions of the samples and of a law (rice, gumbel, ...).",
        )


def _findable(results: Results) -> Iterator[RunRecord]:
    tasks = dict(list(results.findable.groupby(["k", "n"])))
    for row in results.crossings.itertuples():
        table = tasks[(row.k, row.n)]
        ends = {"findable": row.load, "findable_low": row.low, "findable_high": row.high}
        metrics = {name: float(value) for name, value in ends.items() if np.isfinite(value)}
        if table["solved"].any():
            metrics["median_epochs_solved"] = float(table["epochs"][table["solved"]].median())
        fractions = table.groupby("load")["solved"].mean()
        yield RunRecord(
            experiment="tempotron/findable",
            name=f"K {row.k:g}, N {row.n}",
            job=f"tempotron_findable/k{row.k}_n{row.n}",
            params=_params(results, "neuron", "findable") | {"k": row.k, "n": row.n},
            tags=_seed(results),
            metrics=metrics,
            history={"solved_by_load_percent": [(round(100 * load), float(f)) for load, f in fractions.items()]},
            figures=["capacity"],
            note="Solved fraction against 100 x load. A trained result is a lower bound on capacity; a crossing that "
            "the loads do not bracket is left out.",
        )


def _existence(results: Results) -> Iterator[RunRecord]:
    for (k, n), table in results.solvable().groupby(["k", "n"]):
        history = {"solvable": list(zip(table["patterns"].tolist(), table["fraction"].tolist(), strict=True))}
        if k == 1:
            history["cover"] = list(zip(table["patterns"].tolist(), table["cover"].tolist(), strict=True))
        yield RunRecord(
            experiment="tempotron/existence",
            name=f"K {k}, N {n}",
            job=f"tempotron_existence/k{k}_n{n}",
            params=_params(results, "existence") | {"k": int(k), "n": int(n)},
            tags=_seed(results),
            metrics={"undecided": float(table["undecided"].sum())},
            history=history,
            figures=["existence"],
            note="Fraction of solvable tasks against the number of patterns.",
        )


def _solutions(results: Results) -> Iterator[RunRecord]:
    keys = ["inputs", "k", "load"]
    metrics = {tuple(row.pop(key) for key in keys): row for row in results.clusters().to_dict("records")}
    for summary in results.summaries:
        inputs, k, load = job = tuple(summary[key] for key in keys)
        yield RunRecord(
            experiment="tempotron/clusters",
            name=f"{inputs}, K {k}, load {load:g}",
            job=f"tempotron_solutions/{inputs}_k{k}_load{load}",
            params=_params(results, "neuron", "clusters") | dict(zip(keys, job, strict=True)),
            tags=_seed(results),
            metrics={name: float(value) for name, value in metrics[job].items() if np.isfinite(value)},
            history={"walk_overlap_with_start": [(step, overlap) for step, overlap in summary["walk"]]},
            figures=["overlaps", "walk"],
            note="Clusters are those of straight chords: a blocked chord does not prove separation. The walk's overlap "
            "with its start shows how far it mixed; trained solutions are not a uniform sample.",
        )
