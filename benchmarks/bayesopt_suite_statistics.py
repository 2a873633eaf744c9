"""Statistics of the large suite's runs: what they cost, paired comparisons, and what became of the goals."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tessera.bayesopt import benchmark
from tessera.bayesopt.params import SuiteParams
from tessera.bayesopt.report.results import finals
from tessera.common import files

GOALS: dict[str, Any] = {"function": "hartmann6", "seeds": 20, "median": 0.02, "worst": 0.20, "cpu_s": 0.3}
KEYS = ["function", "sampler", "seed"]
#: The same method with the rule of evidence, and with none.
EVIDENCE, NO_RULE = "bop", "bop-no-rule"
#: Seeds below this had been run when the last of our methods, bop-warped, was added.
SEEN = 5


def gathered(paths: list[Path], earlier: Path) -> pd.DataFrame:
    """One row a run: those of paths, and those of an earlier call's table that are not among them."""
    frames = [files.read_csv(earlier)] if earlier.exists() else []
    if paths:
        final = finals(pd.concat([files.read_parquet(path) for path in paths], ignore_index=True))
        costs = pd.DataFrame([cost for path in paths for cost in files.read_json(path.with_suffix(".json"))])
        costs = costs.rename(columns={"median": "cpu_s", "total": "cpu_s_run"}).drop(columns="schedule")
        frames.append(final.drop(columns="schedule").merge(costs, on=KEYS, validate="one_to_one"))
    final = pd.concat(frames, ignore_index=True).drop_duplicates(KEYS, keep="last")
    return final.sort_values(KEYS, ignore_index=True)


def hours(final: pd.DataFrame, suite: SuiteParams) -> float | None:
    """CPU hours of the proposals of all asynchronous runs; a function not yet run by a sampler counts as its others do.

    None where a sampler has not been run at all.
    """
    total = 0.0
    for sampler in suite.samplers:
        runs = final[final["sampler"] == sampler]
        if not len(runs):
            return None
        by_function = runs.groupby("function")["cpu_s_run"].mean()
        each = [by_function.get(function, by_function.mean()) for function in suite.functions]
        total += sum(each) * suite.fewer_seeds.get(sampler, suite.seeds)
    return total / 3600


def compared(final: pd.DataFrame, reference: str, seed: int) -> dict[str, dict[str, Any]]:
    """Each sampler against the reference on what both have run: over all functions, with the interval over functions
    and seeds, and on each, with that over its seeds."""
    by_function: dict[str, dict[str, Any]] = {}
    for name, part in [("all", final), *((str(name), group) for name, group in final.groupby("function"))]:
        keys = KEYS[::2]
        reference_runs = part[part["sampler"] == reference]
        for sampler in sorted(set(part["sampler"]) - {reference}):
            other = part[part["sampler"] == sampler]
            both = other[keys].merge(reference_runs[keys])
            if len(both) < 2:
                continue
            pairs = pd.concat([reference_runs.merge(both), other.merge(both)]).rename(columns={"sampler": "method"})
            (row,) = benchmark.compare(pairs, reference, seed).to_dict("records")
            columns = ("pairs", "median", "low", "high", "wins")
            row = {key: row[key] for key in columns} | {"functions": sorted(set(both["function"]))}
            by_function.setdefault(name, {})[sampler] = row
    return by_function


def cells(final: pd.DataFrame, seed: int) -> dict[str, dict[str, Any]]:
    """Regret, edges, repeats and CPU seconds of each function and sampler."""
    by_function: dict[str, dict[str, Any]] = {}
    for (function, sampler), cell in final.groupby(["function", "sampler"]):
        regret = cell["regret"].to_numpy()
        low, high = benchmark.interval(regret, seed)
        by_function.setdefault(str(function), {})[str(sampler)] = {
            "seeds": len(cell),
            "median": float(np.median(regret)),
            "low": low,
            "high": high,
            "worst": float(regret.max()),
            "edge_enrichment": float(cell["edges"].mean()),
            "repeats": float(cell["repeats"].mean()),
            "cpu_s": float(cell["cpu_s"].median()),
        }
    return by_function


def goals(
    by_function: dict[str, dict[str, Any]],
    paired: dict[str, dict[str, Any]],
    ours: list[str],
    others: list[str],
    reference: str,
) -> dict[str, Any]:
    """What became of the goals: on one function, for our sampler of the least median among those that have run all
    seeds, if one has; over the suite, for that of the least median difference from the reference."""
    reached: dict[str, Any] = {"best": None, "suite_best": None}
    there = {n: cell for n, cell in by_function.get(GOALS["function"], {}).items() if cell["seeds"] >= GOALS["seeds"]}
    mine = {n: cell for n, cell in there.items() if n in ours}
    if mine:
        best = min(mine, key=lambda name: mine[name]["median"])
        reached |= {"best": best, **{key: mine[best][key] for key in ("seeds", "median", "worst")}}
        reached["median_reached"] = bool(mine[best]["median"] <= GOALS["median"])
        reached["worst_reached"] = bool(mine[best]["worst"] <= GOALS["worst"])
    against = {n: cell for n, cell in paired.get(reference, {}).get("all", {}).items() if n in ours}
    if against:
        reached["suite_best"] = min(against, key=lambda name: against[name]["median"])
        reached["ahead_of"] = {n: paired[reached["suite_best"]].get("all", {}).get(n) for n in others}
        reached["cpu_s"] = max(cell[n]["cpu_s"] for cell in by_function.values() for n in ours if n in cell)
        reached["cpu_s_reached"] = bool(reached["cpu_s"] <= GOALS["cpu_s"])
    return reached


def edge_rule(final: pd.DataFrame, seed: int) -> dict[str, dict[str, Any]]:
    """The evidence rule against none on each family of functions: paired differences, and the worst by function.

    The families are of three and four functions, so that the intervals are wide.
    """
    families = {}
    for family in ("sbox", "bbob"):
        part = final[final["function"].str.startswith(family)]
        row = compared(part, NO_RULE, seed).get("all", {}).get(EVIDENCE)
        if row:
            worst = part.groupby(["function", "sampler"])["regret"].max().unstack()[[EVIDENCE, NO_RULE]].dropna()
            lower = int((worst[EVIDENCE] < worst[NO_RULE]).sum())
            families[family] = row | {"worst": worst.to_dict("index"), "worst_lower": lower}
    return families
