"""Run a part of a benchmark: optimisers on test functions, on a simulated clock."""

from pathlib import Path

from tessera.bayesopt.params import SuiteParams
from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section


class Params(Section):
    """One suite, and the seed of the whole study."""

    suite: SuiteParams
    seed: int


def main(params: Params, part: int, runs: Path, cost: Path) -> None:
    """Write every jobs-th run, a row an evaluation; and apart, as they are measured, CPU seconds of proposals."""
    import pandas as pd

    from tessera.bayesopt import benchmark, functions, samplers

    suite = params.suite
    found, seconds = [], []
    for cell in progress.track(samplers.cells(suite)[part :: suite.jobs], f"benchmark, part {part}"):
        function = functions.get(cell.function, instance=1 + cell.seed)
        seed = randomness.seed(params.seed, "bayesopt", "benchmark", cell.function, cell.seed)
        sampler = samplers.make(suite.samplers[cell.sampler], function, seed)
        noise = suite.noise * samplers.spread(function) if suite.noise else 0.0
        table, cpu = benchmark.simulate(function, sampler, cell.schedule, suite.evaluations, seed, noise)
        names = {"function": cell.function, "sampler": cell.sampler, "seed": cell.seed, "schedule": cell.name}
        found.append(table.assign(**names))
        seconds.append(names | {"median": pd.Series(cpu).median(), "total": sum(cpu)})
    files.write_parquet(runs, pd.concat(found, ignore_index=True))
    files.write_json(cost, seconds)


if __name__ == "__main__":
    stage.run(main)
