"""Run one job of a benchmark: a sampler on a test function, with some seeds, on a simulated clock."""

from pathlib import Path

from tessera.bayesopt.jobs import RunsParams
from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section


class Params(Section):
    """The job, and the seed of the whole study."""

    job: RunsParams
    seed: int


def main(params: Params, runs: Path, cost: Path) -> None:
    """Write a row an evaluation; and apart, as they are measured, CPU seconds of proposals."""
    import pandas as pd

    from tessera.bayesopt import benchmark, functions, samplers

    job = params.job
    schedule = benchmark.Schedule(job.mode, job.workers, job.lag, job.spread)
    found, seconds = [], []
    for number in progress.track(job.seeds, f"{job.name} on {job.function}"):
        function = functions.get(job.function, instance=1 + number)
        seed = randomness.seed(params.seed, "bayesopt", "benchmark", job.function, number)
        sampler = samplers.make(job.sampler, function, seed)
        noise = job.noise * samplers.spread(function) if job.noise else 0.0
        table, cpu = benchmark.simulate(function, sampler, schedule, job.evaluations, seed, noise)
        names = {"function": job.function, "sampler": job.name, "seed": number, "schedule": job.schedule}
        found.append(table.assign(**names))
        seconds.append(names | {"median": pd.Series(cpu).median(), "total": sum(cpu)})
    files.write_parquet(runs, pd.concat(found, ignore_index=True))
    files.write_json(cost, seconds)


if __name__ == "__main__":
    stage.run(main)
