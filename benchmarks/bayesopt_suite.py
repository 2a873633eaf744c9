"""Optimisers compared on the runs of the large suite that are there, whether or not all of it has been run.

    snakemake bayesopt_benchmark          # or some of its files: data/bayesopt/runs/bayesopt_full/...
    python benchmarks/bayesopt_suite.py

Reads data/bayesopt/runs/SUITE, which every job of `snakemake bayesopt_benchmark` adds to. Two samplers are compared on
the functions and seeds that both have run. Goals, set before: on Hartmann's function, 60 evaluations, four at a time,
20 seeds, the best of our methods has a median regret of at most 0.02 and a worst of at most 0.20; and it is ahead of
every other package on the median of paired differences. Our methods are those of bop and fubar; plain Thompson sampling
and plain confidence bounds are made of the same parts, and are what the heuristics must be better than to be of use.
"""

import argparse
import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from tessera import params
from tessera.bayesopt import benchmark
from tessera.common import files
from tessera.report import bayesopt_tables as tables

GOALS = {"function": "hartmann6", "seeds": 20, "median": 0.02, "worst": 0.20}
PACKAGES = ("botorch", "gpytorch", "ax-platform", "optuna", "torch", "numpy", "scipy", "ioh")


def compared(final: pd.DataFrame, reference: str, seed: int) -> dict[str, dict[str, Any]]:
    """Each sampler against the reference over all functions and on each, on what both have run."""
    found: dict[str, dict[str, Any]] = {}
    for name, part in [("all", final), *((str(name), one) for name, one in final.groupby("function"))]:
        keys = ["function", "seed"]
        own = part[part["sampler"] == reference]
        for sampler in sorted(set(part["sampler"]) - {reference}):
            other = part[part["sampler"] == sampler]
            both = other[keys].merge(own[keys])
            if len(both) < 2:
                continue
            pairs = pd.concat([own.merge(both), other.merge(both)]).rename(columns={"sampler": "method"})
            (row,) = benchmark.compare(pairs, reference, seed).to_dict("records")
            wanted = ("pairs", "median", "low", "high", "wins", "p")
            row = {key: row[key] for key in wanted} | {"functions": sorted(set(both["function"]))}
            found.setdefault(name, {})[sampler] = row
    return found


def cells(final: pd.DataFrame, costs: pd.DataFrame, seed: int) -> dict[str, dict[str, Any]]:
    """Regret, edges, repeats and CPU seconds of each function and sampler."""
    found: dict[str, dict[str, Any]] = {}
    for (function, sampler), cell in final.groupby(["function", "sampler"]):
        regret = cell["regret"].to_numpy()
        low, high = benchmark.interval(regret, seed)
        cost = costs[(costs["function"] == function) & (costs["sampler"] == sampler)]["median"]
        found.setdefault(str(function), {})[str(sampler)] = {
            "seeds": len(cell),
            "median": float(np.median(regret)),
            "low": low,
            "high": high,
            "worst": float(regret.max()),
            "edge_enrichment": float(cell["edges"].mean()),
            "repeats": float(cell["repeats"].mean()),
            "cpu_s": float(cost.median()),
        }
    return found


def goals(
    found: dict[str, dict[str, Any]], paired: dict[str, dict[str, Any]], ours: list[str], others: list[str]
) -> dict:
    """What became of the goals, for our sampler of the least median; none where no sampler has run all seeds."""
    there = {n: one for n, one in found.get(GOALS["function"], {}).items() if one["seeds"] >= GOALS["seeds"]}
    mine = {n: one for n, one in there.items() if n in ours}
    if not mine:
        return {"best": None}
    best = min(mine, key=lambda name: mine[name]["median"])
    made = {"best": best, "seeds": mine[best]["seeds"], "median": mine[best]["median"], "worst": mine[best]["worst"]}
    made["median_reached"] = bool(mine[best]["median"] <= GOALS["median"])
    made["worst_reached"] = bool(mine[best]["worst"] <= GOALS["worst"])
    made["ahead_of"] = {n: paired[best].get("all", {}).get(n) for n in others}
    return made


def table_of(found: dict[str, Any], order: list[str]) -> list[str]:
    """One function's table."""
    lines = [
        "| sampler | seeds | median regret [95 % interval] | worst | edge enrichment | repeats | CPU s a proposal |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in order:
        if name in found:
            one = found[name]
            lines.append(
                f"| {name} | {one['seeds']} | {one['median']:.2g} [{one['low']:.2g}, {one['high']:.2g}] |"
                f" {one['worst']:.2g} | {one['edge_enrichment']:.2f} | {one['repeats']:.3f} | {one['cpu_s']:.2f} |"
            )
    return lines


def pairs_of(paired: dict[str, Any], order: list[str]) -> list[str]:
    """The comparisons with one reference over all functions that both have run."""
    lines = [
        "| sampler | functions | pairs | median difference [95 % interval] | wins | p |",
        "|---|---:|---:|---|---:|---:|",
    ]
    for name in order:
        if name in paired:
            one = paired[name]
            lines.append(
                f"| {name} | {len(one['functions'])} | {one['pairs']} | {one['median']:+.2f} [{one['low']:+.2f},"
                f" {one['high']:+.2f}] | {one['wins']:.2f} | {one['p']:.2g} |"
            )
    return lines


def verdict(found: dict) -> list[str]:
    if found["best"] is None:
        return ["No sampler of ours has run all seeds of Hartmann's function: the goals are open."]
    said = {True: "reached", False: "missed"}
    lines = [
        f"The least median of our methods on {GOALS['function']} is that of `{found['best']}`, chosen after the runs, "
        f"{found['seeds']} seeds:",
        "",
        f"* median regret {found['median']:.3g}, goal at most {GOALS['median']}: {said[found['median_reached']]};",
        f"* worst regret {found['worst']:.3g}, goal at most {GOALS['worst']}: {said[found['worst_reached']]};",
    ]
    for name, one in found["ahead_of"].items():
        if one is None:
            lines.append(f"* against {name}: not run;")
            continue
        # Differences are of the other from ours: above 0 the other's regret is larger.
        state = "ahead" if one["low"] > 0 else "behind" if one["high"] < 0 else "undecided"
        lines.append(
            f"* against {name}: {state} ({one['median']:+.2f} [{one['low']:+.2f}, {one['high']:+.2f}] in log10 regret, "
            f"above 0 in our favour; {one['pairs']} pairs);"
        )
    return [*lines[:-1], lines[-1][:-1] + "."]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="full")
    parser.add_argument("--runs", type=Path, help="default: data/bayesopt/runs/bayesopt_SUITE")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(""))
    options = parser.parse_args()
    configuration = params.check(yaml.safe_load(Path("params.yaml").read_text()), ["params.yaml"])
    if options.suite not in configuration.bayesopt.suites:
        parser.error(f"--suite {options.suite}: valid are {', '.join(configuration.bayesopt.suites)}")
    suite, seed = configuration.bayesopt.suites[options.suite], configuration.seed
    directory = options.runs or Path(f"data/bayesopt/runs/bayesopt_{options.suite}")
    paths = sorted(directory.glob("*/*/async-*.parquet"))
    if not paths:
        parser.error(f"{directory}: no runs; snakemake bayesopt_benchmark makes them")
    final = tables.finals(pd.concat([files.read_parquet(path) for path in paths], ignore_index=True))
    costs = pd.DataFrame([one for path in paths for one in files.read_json(path.with_suffix(".json"))])
    ours = [n for n, one in suite.samplers.items() if one.sampler == "tessera" and one.method in ("bop", "fubar")]
    plain = [n for n, one in suite.samplers.items() if one.sampler == "tessera" and one.method in ("thompson", "ucb")]
    peers = [n for n, one in suite.samplers.items() if one.sampler not in ("tessera", "sobol")]
    order = list(suite.samplers)
    found = cells(final, costs, seed)
    paired = {name: compared(final, name, seed) for name in [*ours, *plain] if name in set(final["sampler"])}
    reached = goals(found, paired, ours, [*peers, *plain])
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    machine = f"{platform.machine()}, Python {platform.python_version()}, one thread"
    shown = list(dict.fromkeys([reached["best"] or ours[0], suite.reference]))
    lines = [
        f"# Optimisers compared: the suite `{options.suite}`",
        "",
        f"{suite.evaluations} evaluations, {suite.schedule.workers} at a time, asynchronous, on a simulated clock; "
        f"noise {suite.noise}. Regret of the point of least value. {machine}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ".",
        "",
        "Command: `python benchmarks/bayesopt_suite.py`, after `snakemake bayesopt_benchmark` or a part of it.",
        "",
        f"Run so far: {len(found)} of {len(suite.functions)} functions; "
        f"{len(final)} of {len(suite.functions) * len(suite.samplers) * suite.seeds} runs. CPU seconds are of the "
        "process, taken beside other work on the same core.",
        "",
        "## Goals",
        "",
        *verdict(reached),
        "",
    ]
    for reference in shown:
        if reference in paired:
            lines += [
                f"## Against `{reference}`",
                "",
                f"Differences of log10 regret from {reference}, from 1e-6, paired by function and seed; below 0 is "
                f"better than {reference}. Wins: share of pairs with the lesser regret. p of Wilcoxon's test.",
                "",
                *pairs_of(paired[reference].get("all", {}), order),
                "",
            ]
    for function in suite.functions:
        if function in found:
            lines += [f"## {function}", "", *table_of(found[function], order), ""]
    content = {
        "machine": machine,
        "versions": versions,
        "evaluations": suite.evaluations,
        "workers": suite.schedule.workers,
        "noise": suite.noise,
        "goals": reached,
        "functions": found,
        "paired": paired,
    }
    files.write_json(options.out.with_suffix(".json"), content)
    files.write_text(options.out.with_suffix(".md"), "\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
