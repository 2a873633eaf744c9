"""What each job of a benchmark runs. Snakemake's rules read this, so it imports little."""

from pydantic import Field

from tessera.bayesopt.params import Mode, SamplerParams, SuiteParams
from tessera.common.params import Section


class RunsParams(Section):
    """One job: a sampler on a function, with some seeds, on a schedule."""

    function: str
    name: str
    """Of the sampler, in its suite."""
    sampler: SamplerParams
    mode: Mode
    workers: int = Field(ge=1)
    lag: int = Field(ge=1)
    spread: float = Field(ge=0)
    seeds: list[int]
    evaluations: int = Field(ge=2)
    noise: float = Field(ge=0)

    @property
    def schedule(self) -> str:
        """Name of the schedule."""
        return f"lag {self.lag}" if self.mode == "lag" else self.mode


def jobs(suite: SuiteParams) -> dict[str, RunsParams]:
    """All jobs of a suite by FUNCTION/SAMPLER/SCHEDULE-BLOCK, ordered so that the first ones tell most.

    Every sampler on every function asynchronously, the first block of seeds of all before the second; and one sampler
    in batches and by lag. A job depends on no other sampler or function, so additions to a suite leave it as it is.
    """
    blocks = [list(range(suite.seeds))[start : start + suite.block] for start in range(0, suite.seeds, suite.block)]
    cells: list[tuple[str, str, Mode, int]] = [
        (function, sampler, "async", 1) for function in suite.functions for sampler in suite.samplers
    ]
    cells.append((suite.lag.function, suite.lag.sampler, "sync", 1))
    cells += [(suite.lag.function, suite.lag.sampler, "lag", lag) for lag in suite.lag.lags]
    by_name = {}
    for number, block in enumerate(blocks):
        for function, name, mode, lag in cells:
            seeds = [seed for seed in block if seed < suite.fewer_seeds.get(name, suite.seeds)]
            if not seeds:
                continue
            job = RunsParams(
                function=function,
                name=name,
                sampler=suite.samplers[name],
                mode=mode,
                workers=suite.schedule.workers,
                lag=lag,
                spread=suite.schedule.spread,
                seeds=seeds,
                evaluations=suite.evaluations,
                noise=suite.noise,
            )
            by_name[f"{function}/{name}/{job.schedule.replace(' ', '_')}-{number}"] = job
    return by_name
