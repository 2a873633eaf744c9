"""The study's runs for MLflow, from its result files."""

from collections.abc import Iterator
from typing import Any

from tessera.common.run_files import RunRecord
from tessera.tsvm import summaries
from tessera.tsvm.report.results import Results


def runs(results: Results) -> Iterator[RunRecord]:
    """One run per reference problem, load, pair of speakers, and problem and method under noise; one per other job."""
    yield from _problems(results)
    yield from _loads(results)
    yield from _noise(results)
    yield from _single_jobs(results)
    yield from _speech(results)


def _sections(results: Results, *names: str) -> dict[str, Any]:
    return {"tsvm": {name: getattr(results.params, name).model_dump(mode="json") for name in names}}


def _problems(results: Results) -> Iterator[RunRecord]:
    rounds = results.rounds[results.rounds["variant"] == "hold"]
    for name, numbers in results.problems.items():
        problem, path = results.params.problems.problems[name], rounds[rounds["problem"] == name]
        gaps = 1 - path["low"] / path["up"]
        yield RunRecord(
            experiment="tsvm/problem",
            name=name,
            job=f"tsvm_problem/{name}",
            params=_sections(results, "neuron") | problem.model_dump() | {"problem": name},
            tags={"seed": str(problem.seed)},
            metrics=numbers,
            history={"gap": list(zip(path["round"].tolist(), gaps.tolist(), strict=True))},
            figures=["voltage", "certificate"],
            note="low, up: bounds on the largest dynamical margin, in continuous time. soft_excess: the soft optimum "
            "over the hard one, less 1, by slack penalty in units of the hard |w|^2.",
        )


def _loads(results: Results) -> Iterator[RunRecord]:
    for targets, rows in results.load.groupby("targets"):
        yield RunRecord(
            experiment="tsvm/load",
            name=f"{targets} targets",
            job=f"tsvm_load/n{targets}",
            params=_sections(results, "neuron", "load") | {"targets": int(targets)},
            tags={"seed": str(results.seed)},
            metrics=summaries.load_metrics(rows),
            figures=["load"],
            note="feasible: weights with a margin were found. F1 is that of the free neuron, without noise.",
        )


def _noise(results: Results) -> Iterator[RunRecord]:
    curves = dict(iter(results.curves.groupby(["problem", "method"])))
    for (problem, method), rows in results.critical.groupby(["problem", "method"]):
        first = rows.iloc[0]
        task = {"problem": int(problem), "method": method, "targets": int(first["targets"])}
        task |= {"kappa": float(first["kappa"]), "tries": int(first["tries"])}
        yield RunRecord(
            experiment="tsvm/noise",
            name=f"problem {problem}, {method}",
            job=f"tsvm_noise/p{problem}",
            params=_sections(results, "neuron", "noise") | task,
            tags={"seed": str(results.seed), "method": method},
            metrics=summaries.noise_metrics(curves[problem, method], rows),
            figures=["noise", "prediction"],
            note="critical: the noise at which half of the trials have an error; jitter in ms, synaptic noise in units "
            "of each weight, membrane noise in thresholds.",
        )


def _single_jobs(results: Results) -> Iterator[RunRecord]:
    seed = {"seed": str(results.seed)}
    yield RunRecord(
        experiment="tsvm/sweep",
        name="tau_c and hold window",
        job="tsvm_sweep",
        params=_sections(results, "neuron", "noise", "sweep"),
        tags=seed,
        metrics=summaries.sweep_metrics(results.sweep),
        figures=["sweep"],
        note="f1_TAUC_HOLD: mean over problems under jitter; tau_c in ms, hold in units of it. rises_with_hold: how "
        "often a longer hold window has the larger margin, which is impossible.",
    )
    yield RunRecord(
        experiment="tsvm/brian",
        name=f"problem {results.params.problems.shown}",
        job="tsvm_brian",
        params=_sections(results, "neuron", "brian") | {"problem": results.params.problems.shown},
        tags=seed,
        metrics=results.brian,
        note="delay_low, delay_high: of Brian2's spikes after the targets, in time steps; 0 to 1 is exact. noise_same: "
        "share of the spikes under membrane noise that both simulators produce.",
    )
    yield RunRecord(
        experiment="tsvm/kernels",
        name="exclusive-or",
        job="tsvm_kernels",
        params=_sections(results, "neuron", "kernels"),
        tags=seed,
        metrics=summaries.kernel_metrics(results.xor_margins, results.xor_noise),
        figures=["xor"],
        note="The fraction of noisy patterns on which the neuron is right, by kernel, kind of noise and level.",
    )


def _speech(results: Results) -> Iterator[RunRecord]:
    for row in results.speech.to_dict("records"):
        _, null, target = row["task"].split("_")
        yield RunRecord(
            experiment="tsvm/real",
            name=f"speakers {null} and {target}",
            job="tsvm_real",
            inputs=["data/raw"],
            params=_sections(results, "neuron", "real") | {"null": int(null), "target": int(target)},
            tags={"seed": str(results.seed)},
            metrics={name: float(value) for name, value in row.items() if name != "task"},
            figures=["speech"],
            note="Accuracies on test patterns. timed: T-SVM that fires at the end of one speaker's utterances, which a "
            "cue announces; binary: it may fire at any time. on_time: share of the firing speaker's utterances with "
            "exactly one spike, within the window around the end.",
        )
