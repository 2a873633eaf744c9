"""Runs for MLflow: one per run of a benchmark, and one per trial of a study."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tessera.bayesopt import benchmark, jobs
from tessera.bayesopt.params import SamplerParams
from tessera.bayesopt.report.results import KEYS, StudyResults, SuiteResults, runs
from tessera.common.run_files import RunRecord

#: Points of a regret curve, equally spaced in the logarithm of evaluations.
MARKS = 10


def suite_runs(results: SuiteResults) -> Iterator[RunRecord]:
    """One run per function, sampler, schedule and seed: its curve, and the CPU seconds of its proposals."""
    suite = results.suite
    job_of = {
        (job.function, job.name, seed, job.schedule): name
        for name, job in jobs.jobs(suite).items()
        for seed in job.seeds
    }
    seconds = {tuple(cost[key] for key in KEYS): cost["median"] for cost in results.costs}
    marks = np.unique(np.geomspace(1, suite.evaluations, MARKS).round().astype(int)).tolist()
    for (key, run), final in zip(runs(results.evaluations), results.finals.to_dict("records"), strict=True):
        function, sampler, seed, schedule = key
        curve = benchmark.regret_by_evaluation(run)
        yield RunRecord(
            experiment=f"bayesopt/{results.name.partition('_')[2] or 'benchmark'}",
            name=f"{function} {sampler} {schedule} seed {seed}",
            job=f"bayesopt_runs/{results.name}/{job_of[key]}",
            params={"evaluations": suite.evaluations} | _options(suite.samplers[sampler]),
            tags={"function": function, "sampler": sampler, "schedule": schedule, "seed": str(seed)},
            metrics={
                "final_regret": _short(final["regret"]),
                "makespan": _short(final["makespan"]),
                "edge_enrichment": _short(final["edges"]),
                "repeats": _short(final["repeats"]),
                "cpu_s_per_proposal": _short(seconds[key]),
            },
            history={"regret": [(mark, _short(curve[mark - 1])) for mark in marks]},
            figures=["regret"],
        )


def _options(sampler: SamplerParams) -> dict[str, str | bool]:
    """What a sampler is, without options at their defaults."""
    names = ("sampler", "method", "edges") if sampler.sampler == "tessera" else ("sampler",)
    return {name: getattr(sampler, name) for name in names} | sampler.model_dump(mode="json", exclude_defaults=True)


def _short(value: float) -> float:
    """value to four digits: the numbers of a large suite's runs would otherwise fill megabytes."""
    return float(f"{value:.4g}")


def study_runs(results: StudyResults) -> Iterator[RunRecord]:
    """One run per trial."""
    params = results.params
    for trial, seconds in zip(results.trials, results.seconds, strict=True):
        value = {} if trial.value is None else {"value": trial.value}
        yield RunRecord(
            experiment=f"bayesopt/{results.name}",
            name=f"trial {trial.id}",
            job=f"bayesopt_evaluate/{results.name}/{trial.id}",
            inputs=sorted({str(Path(path).parent) for path in params.objective.inputs}),
            params={**trial.params, "lag": params.lag, "settings": params.settings().to_json()},
            tags={"seed": str(params.seed), "kind": trial.kind, "state": trial.state},
            metrics={"seconds": seconds} | value,
            figures=["trace"],
            note=f"failed: {trial.error}" if trial.error else "",
        )
