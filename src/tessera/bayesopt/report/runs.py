"""Runs for MLflow: one per run of a benchmark, and one per trial of a study."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tessera.bayesopt import benchmark, jobs
from tessera.bayesopt.report.results import KEYS, StudyResults, SuiteResults, runs
from tessera.common.run_files import RunRecord

#: Points of a regret curve, equally spaced in the logarithm of evaluations: a large suite has thousands of runs.
MARKS = 12


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
            params={
                "sampler": suite.samplers[sampler].model_dump(mode="json"),
                "evaluations": suite.evaluations,
            },
            tags={"function": function, "sampler": sampler, "schedule": schedule, "seed": str(seed)},
            metrics={
                "final_regret": final["regret"],
                "makespan": final["makespan"],
                "edge_enrichment": final["edges"],
                "repeats": final["repeats"],
                "cpu_s_per_proposal": float(seconds[key]),
            },
            history={"regret": [(mark, float(f"{curve[mark - 1]:.4g}")) for mark in marks]},
            figures=["regret", "edges"],
        )


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
