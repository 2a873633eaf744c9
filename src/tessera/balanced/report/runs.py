"""The study's runs for MLflow, one per job, from its result files."""

from collections.abc import Iterator

from tessera.balanced import summaries
from tessera.balanced.report.results import Results
from tessera.common.run_files import RunRecord

#: Columns of the learning traces that are shown as curves.
TRACES = ["error", "imbalance", "norm", "kappa_in", "kappa_out"]


def runs(results: Results) -> Iterator[RunRecord]:
    """One run for the theory and the spiking neurons, one per set, distribution of inputs, kind of noise and size."""
    p, curves = results.params, results.theory
    seed = {"seed": str(results.seed)}

    def params(*sections: str) -> dict[str, dict]:
        return {"balanced": {name: getattr(p, name).model_dump(mode="json") for name in sections}}

    yield RunRecord(
        experiment="balanced/theory",
        name="theory",
        job="balanced_theory",
        params=params("theory", "margins"),
        metrics=summaries.theory_metrics(curves, p.margins.afferents.build()),
        figures=["capacity", "margins"],
    )
    for name, rows in results.feasibility.items():
        yield RunRecord(
            experiment="balanced/feasibility",
            name=name,
            job=f"balanced_feasibility/{name}",
            params=params("feasibility"),
            tags=seed | {"set": name},
            metrics=summaries.feasibility_metrics(rows, p.feasibility, p.feasibility.cv_ratios[name]),
            figures=["feasibility", "capacity"],
        )
    for inputs, rows in results.margins.items():
        yield RunRecord(
            experiment="balanced/margins",
            name=inputs,
            job=f"balanced_optima/{inputs}",
            params=params("margins"),
            tags=seed | {"inputs": inputs},
            metrics=summaries.margin_metrics(rows, p.margins),
            figures=["margins", "scaling", "weights"],
        )
    for noise, rows in results.learning.groupby("noise"):
        mean = rows.groupby("cycle")[TRACES].mean()
        yield RunRecord(
            experiment="balanced/learning",
            name=str(noise),
            job="balanced_learning",
            params=params("learning"),
            tags=seed | {"noise": str(noise)},
            metrics=summaries.learning_metrics(rows),
            history={name: list(zip(mean.index.tolist(), mean[name].tolist(), strict=True)) for name in TRACES},
            figures=["learning"],
        )
    yield RunRecord(
        experiment="balanced/lif",
        name="spiking readout",
        job="balanced_lif",
        params=params("lif"),
        tags=seed,
        metrics=summaries.spiking_metrics(results.spiking),
        figures=["spiking"],
    )
    for size, networks in results.attractors.items():
        yield RunRecord(
            experiment="balanced/attractor",
            name=f"{size} neurons",
            job=f"balanced_memories/{size}",
            params=params("attractor"),
            tags=seed | {"n": str(size)},
            metrics=summaries.attractor_metrics(networks, p.attractor),
            figures=["attractors"],
        )
