"""Tables, text and numbers of a benchmark of optimisers."""

from functools import cache

import numpy as np
import pandas as pd

from tessera.bayesopt import benchmark
from tessera.bayesopt.report.results import SuiteResults
from tessera.common.files import Json
from tessera.common.markdown import table as markdown_table


@cache
def regrets(results: SuiteResults) -> pd.DataFrame:
    """Median, interval and worst regret of every sampler on every function, with its edge enrichment, repeats, kinds
    of proposals and CPU seconds per proposal, which are measured and so differ between runs.
    """
    seconds = pd.DataFrame(results.costs).rename(columns={"median": "cpu_s"})
    seconds = seconds[seconds["schedule"] == "async"].groupby(["function", "sampler"])["cpu_s"].median()
    rows = []
    for (function, sampler), cell in _asynchronous(results).groupby(["function", "sampler"], observed=True):
        regret = cell["regret"].to_numpy()
        low, high = benchmark.interval(regret, results.seed)
        rows.append(
            {
                "function": function,
                "sampler": sampler,
                "seeds": len(cell),
                "evaluations": results.suite.evaluations,
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


@cache
def comparison(results: SuiteResults) -> pd.DataFrame:
    """Samplers compared with the reference: differences in log10 regret at the end, paired by function and seed, with
    the 95 % interval of their median, which is over functions and seeds for all functions and over seeds for one.
    """
    final = _asynchronous(results).astype({"function": str, "sampler": str}).rename(columns={"sampler": "method"})
    reference = results.suite.reference
    tables = [benchmark.compare(final, reference, results.seed).assign(function="all")]
    tables += [
        benchmark.compare(final[final["function"] == function], reference, results.seed).assign(function=function)
        for function in results.suite.functions
    ]
    table = pd.concat(tables, ignore_index=True).rename(columns={"method": "sampler"})
    return table[["function", *(column for column in table.columns if column != "function")]]


@cache
def lag(results: SuiteResults) -> pd.DataFrame:
    """Makespan, in median runtimes, and final regret by lag, in batches, and asynchronously: medians over seeds with
    their 95 % intervals.
    """
    choice, final = results.suite.lag, results.finals
    cells = final[(final["sampler"] == choice.sampler) & (final["function"] == choice.function)]
    rows = []
    for schedule in ["sync", "async", *(f"lag {lag}" for lag in choice.lags)]:
        cell = cells[cells["schedule"] == schedule]
        row: Json = {"schedule": schedule, "seeds": len(cell)}
        for key in ("makespan", "regret"):
            values = cell[key].to_numpy()
            low, high = benchmark.interval(values, results.seed)
            row |= {f"{key}_median": float(np.median(values)), f"{key}_low": low, f"{key}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def metrics(results: SuiteResults) -> Json:
    """The tables as nested numbers, except what differs between machines."""
    numbers: Json = {"regret": {}, "comparison": {}, "lag": {}}
    for row in regrets(results).drop(columns=["cpu_s", "evaluations"]).to_dict("records"):
        numbers["regret"].setdefault(row.pop("function"), {})[row.pop("sampler")] = row
    for row in comparison(results).drop(columns="reference").to_dict("records"):
        numbers["comparison"].setdefault(row.pop("function"), {})[row.pop("sampler")] = row
    for row in lag(results).to_dict("records"):
        numbers["lag"][row.pop("schedule").replace(" ", "_")] = row
    return numbers


def markdown(results: SuiteResults) -> str:
    """Median regret of every sampler by function, its worst in brackets, and its difference from the reference."""
    suite, table, compared = results.suite, regrets(results), comparison(results)
    overall = compared[compared["function"] == "all"].set_index("sampler")
    rows = []
    for sampler in suite.samplers:
        cells = []
        for function in suite.functions:
            cell = table[(table["function"] == function) & (table["sampler"] == sampler)].iloc[0]
            cells.append(f"{cell['regret_median']:.2g} ({cell['regret_worst']:.2g})")
        difference = "-"
        if sampler in overall.index:
            row = overall.loc[sampler]
            difference = f"{row['median']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
        rows.append([sampler, *cells, difference])
    few = "".join(f" ({seeds} of {name})" for name, seeds in suite.fewer_seeds.items())
    text = (
        f"Median regret of the recommended point after {suite.evaluations} evaluations, {suite.schedule.workers} at a "
        f"time, {suite.seeds} seeds{few}; the worst in brackets. The last column is the median difference in log10 "
        f"regret from {suite.reference}, paired by function and seed (below 0 is better), with a 95 % interval over "
        "functions and seeds."
    )
    lines = markdown_table(["sampler", *suite.functions, f"against {suite.reference}"], rows)
    return "\n".join([text, "", *lines])


def _asynchronous(results: SuiteResults) -> pd.DataFrame:
    """The final values of the runs by which samplers are compared."""
    return results.finals[results.finals["schedule"] == "async"]
