"""What a benchmark of optimisers found: tables, metrics and runs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tessera.bayesopt import benchmark, functions
from tessera.bayesopt.params import SuiteParams, defaults
from tessera.common import files
from tessera.common.files import Json
from tessera.common.run_files import RunRecord

KEYS = ["function", "sampler", "seed", "schedule"]


def read(paths: Sequence[Path], suite: SuiteParams) -> pd.DataFrame:
    """All evaluations, in the order of the suite's params."""
    found = pd.concat([files.read_parquet(path) for path in paths], ignore_index=True)
    for column, names in (("function", suite.functions), ("sampler", list(suite.samplers))):
        found[column] = pd.Categorical(found[column], names, ordered=True)
    return found.sort_values([*KEYS, "trial"], kind="stable", ignore_index=True)


def asynchronous(found: pd.DataFrame) -> pd.DataFrame:
    """The runs by which optimisers are compared."""
    return found[found["schedule"] == "async"]


def runs(found: pd.DataFrame) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """Each run by function, sampler, seed and schedule, with the axes that its function has."""
    for names, run in found.groupby(KEYS, observed=True, sort=True):
        yield tuple(names), run.dropna(axis="columns", how="all")


def finals(found: pd.DataFrame) -> pd.DataFrame:
    """One row a run: regret at the end, makespan, edge enrichment and rate of repeats."""
    rows = []
    for names, run in runs(found):
        free = functions.get(names[0]).space.free
        rows.append(
            dict(zip(KEYS, names, strict=True))
            | {
                "regret": float(benchmark.regret_by_evaluation(run)[-1]),
                "makespan": float(run["ended"].max()),
                "edges": benchmark.edge_enrichment(run, 2 * free),
                "repeats": benchmark.repeat_rate(run),
            }
            | {f"kind_{kind}": float((run["kind"] == kind).mean()) for kind in ("thompson", "poll", "random")}
        )
    return pd.DataFrame(rows)


def results(found: pd.DataFrame, suite: SuiteParams, costs: Sequence[Json], seed: int) -> pd.DataFrame:
    """One row per function and sampler: median of regret with its interval over seeds, its worst, edges, repeats, and
    CPU seconds per proposal."""
    seconds = pd.DataFrame(costs).rename(columns={"median": "cpu_s"})
    seconds = seconds[seconds["schedule"] == "async"].groupby(["function", "sampler"])["cpu_s"].median()
    rows = []
    for (function, sampler), cell in finals(asynchronous(found)).groupby(["function", "sampler"], observed=True):
        regret = cell["regret"].to_numpy()
        low, high = benchmark.interval(regret, seed)
        rows.append(
            {
                "function": function,
                "sampler": sampler,
                "seeds": len(cell),
                "evaluations": suite.evaluations,
                "regret_median": float(np.median(regret)),
                "regret_low": low,
                "regret_high": high,
                "regret_worst": float(regret.max()),
                "edge_enrichment": float(cell["edges"].mean()),
                "repeats": float(cell["repeats"].mean()),
                **{f"share_{kind}": float(cell[f"kind_{kind}"].mean()) for kind in ("thompson", "poll", "random")},
                "cpu_s": float(seconds.get((function, sampler), np.nan)),
            }
        )
    return pd.DataFrame(rows)


def comparison(found: pd.DataFrame, suite: SuiteParams, seed: int) -> pd.DataFrame:
    """Every sampler against the reference, over all functions and on each."""
    final = finals(asynchronous(found)).astype({"function": str, "sampler": str}).rename(columns={"sampler": "method"})
    tables = [benchmark.compare(final, suite.reference, seed).assign(function="all")]
    tables += [
        benchmark.compare(final[final["function"] == name], suite.reference, seed).assign(function=name)
        for name in suite.functions
    ]
    table = pd.concat(tables, ignore_index=True).rename(columns={"method": "sampler"})
    return table[["function", *(column for column in table.columns if column != "function")]]


def lag(found: pd.DataFrame, suite: SuiteParams, seed: int) -> pd.DataFrame:
    """One row a schedule of the lag's sampler and function: makespan and regret, with intervals of their medians."""
    part = found[(found["sampler"] == suite.lag.sampler) & (found["function"] == suite.lag.function)]
    cells = finals(part)
    rows = []
    for name in ["sync", "async", *(f"lag {lag}" for lag in suite.lag.lags)]:
        cell = cells[cells["schedule"] == name]
        row: Json = {"schedule": name, "seeds": len(cell)}
        for key in ("makespan", "regret"):
            values = cell[key].to_numpy()
            low, high = benchmark.interval(values, seed)
            row |= {f"{key}_median": float(np.median(values)), f"{key}_low": low, f"{key}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def metrics(table: pd.DataFrame, compared: pd.DataFrame, by_lag: pd.DataFrame) -> Json:
    """The tables as nested numbers, but for what differs between machines."""
    found: Json = {"regret": {}, "comparison": {}, "lag": {}}
    for row in table.drop(columns=["cpu_s", "evaluations"]).to_dict("records"):
        found["regret"].setdefault(row.pop("function"), {})[row.pop("sampler")] = row
    for row in compared.drop(columns="reference").to_dict("records"):
        found["comparison"].setdefault(row.pop("function"), {})[row.pop("sampler")] = row
    for row in by_lag.to_dict("records"):
        found["lag"][row.pop("schedule").replace(" ", "_")] = row
    return found


def markdown(table: pd.DataFrame, compared: pd.DataFrame, suite: SuiteParams) -> str:
    """Median regret of every sampler by function, and how it compares with the reference."""
    overall = compared[compared["function"] == "all"].set_index("sampler")
    lines = [
        f"Median regret of the recommended point after {suite.evaluations} evaluations, {suite.schedule.workers} at a "
        f"time, {suite.seeds} seeds"
        + "".join(f" ({few} of {name})" for name, few in suite.fewer_seeds.items())
        + f"; the worst in brackets. The last column is the median difference in log10 regret from {suite.reference},"
        " paired by function and seed (below 0 is better), with a 95 % interval over functions and seeds.",
        "",
        f"| sampler | {' | '.join(suite.functions)} | against {suite.reference} |",
        "|---" + "|---:" * len(suite.functions) + "|---|",
    ]
    for sampler in suite.samplers:
        cells = []
        for function in suite.functions:
            row = table[(table["function"] == function) & (table["sampler"] == sampler)].iloc[0]
            cells.append(f"{row['regret_median']:.2g} ({row['regret_worst']:.2g})")
        against = "-"
        if sampler in overall.index:
            one = overall.loc[sampler]
            against = f"{one['median']:+.2f} [{one['low']:+.2f}, {one['high']:+.2f}]"
        lines.append(f"| {sampler} | {' | '.join(cells)} | {against} |")
    return "\n".join(lines) + "\n"


def records(
    found: pd.DataFrame, suite: SuiteParams, costs: Sequence[Json], name: str, seed: int
) -> Iterator[tuple[str, RunRecord]]:
    """A run for every cell of the benchmark: its curve, and the CPU seconds of its proposals."""
    seconds = {tuple(cost[key] for key in KEYS): cost for cost in costs}
    for names, run in runs(found):
        wildcards = dict(zip(KEYS, names, strict=True))
        pairs = [f"{key}={str(value).replace(' ', '')}" for key, value in wildcards.items()]
        curve = benchmark.regret_by_evaluation(run)
        free = functions.get(str(names[0])).space.free
        options = suite.samplers[str(names[1])].model_dump(mode="json")
        record = RunRecord(
            experiment=f"{name.replace('_', '/', 1)}/benchmark",
            name="/".join(["bayesopt_benchmark", *pairs]),
            params={**wildcards, "options": options, "settings": defaults(), "evaluations": suite.evaluations},
            tags={
                "snakemake.rule": "bayesopt_runs",
                "snakemake.wildcards": ", ".join(pairs),
                "device": "cpu",
                "root.seed": str(seed),
                **{key: str(value) for key, value in wildcards.items()},
            },
            metrics={
                "final_regret": float(curve[-1]),
                "makespan": float(run["ended"].max()),
                "edge_enrichment": benchmark.edge_enrichment(run, 2 * free),
                "repeats": benchmark.repeat_rate(run),
                "cpu_s_per_proposal": float(seconds[names]["median"]),
            },
            history={"regret": [(i + 1, float(value)) for i, value in enumerate(curve)]},
            figures=[f"reports/figures/{name}/{figure}.svg" for figure in ("regret", "edges")],
        )
        yield f"bayesopt_benchmark/{'-'.join(pairs)}", record
