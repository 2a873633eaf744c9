"""Optimisers compared on the runs of the large suite that are there, whether or not all of it has been run.

    snakemake bayesopt_benchmark          # or some of its files: data/bayesopt/runs/bayesopt_full/...
    python benchmarks/bayesopt_suite.py

Reads data/bayesopt/runs/bayesopt_SUITE, which every job of `snakemake bayesopt_benchmark` adds to, and the table of
runs that an earlier call has left next to its report, so that a suite can be run in parts. Two samplers are compared on
the functions and seeds that both have run; over several functions, intervals are over functions and seeds, so that they
answer for other functions of the kind. The outcome of the goals is also written to bayesopt_suite_verdict.md, for the
study's README.

Goals, set before: on Hartmann's function, 60 evaluations, four at a time, 20 seeds, the best of our methods has a
median regret of at most 0.02 and a worst of at most 0.20; over the suite, the best of them is ahead of every other
package on the median of paired differences; a proposal takes at most 0.3 CPU seconds at the median. The evidence
rule is no worse than no rule on SBOX's functions, whose optima may lie at the edge, and better in the worst case on
BBOB's, whose optima do not. Our methods are those of bop and fubar; plain Thompson sampling and plain confidence bounds
are made of the same parts, and are what the heuristics must be better than to be of use.
"""

import argparse
import importlib.metadata
import platform
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from bayesopt_suite_statistics import EVIDENCE, GOALS, NO_RULE, SEEN, cells, compared, edge_rule, gathered, goals, hours
from matplotlib.figure import Figure

from tessera import params
from tessera.bayesopt.params import SuiteParams
from tessera.common import files, plots

PACKAGES = ("botorch", "gpytorch", "ax-platform", "optuna", "torch", "numpy", "scipy", "ioh")


def difference(pair: dict[str, Any]) -> str:
    """A comparison in words. Its differences are of another sampler's log10 regret from ours."""
    state = "ahead" if pair["low"] > 0 else "behind" if pair["high"] < 0 else "undecided"
    return f"{state}, {pair['median']:+.2f} [{pair['low']:+.2f}, {pair['high']:+.2f}]"


def size(pair: dict[str, Any]) -> str:
    return f"{pair['pairs']} pairs on {len(pair['functions'])} functions"


def verdict_of_ours(against: dict[str, dict[str, Any]], ours: list[str], reference: str) -> list[str]:
    """Each of our methods against the reference."""
    names = [name for name in ours if name in against]
    if not names:
        return []
    lines = [f"* Against `{reference}`, in log10 regret, below 0 is better ({size(against[names[0]])}):"]
    for name in names:
        pair = against[name]
        state = "better" if pair["high"] < 0 else "worse" if pair["low"] > 0 else "undecided"
        lines.append(f"    * `{name}`: {state}, {pair['median']:+.2f} [{pair['low']:+.2f}, {pair['high']:+.2f}];")
    return [*lines[:-1], lines[-1][:-1] + "."]


def verdict_of_edges(families: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for family, pair in families.items():
        state = "better" if pair["high"] < 0 else "worse" if pair["low"] > 0 else "undecided"
        lines.append(
            f"* The evidence rule against no edge rule (`{EVIDENCE}`, `{NO_RULE}`) on {family.upper()}: {state}, "
            f"{pair['median']:+.2f} [{pair['low']:+.2f}, {pair['high']:+.2f}] in log10 regret, below 0 in its favour; "
            f"{pair['pairs']} pairs. Its worst seed has the lower regret on {pair['worst_lower']} of "
            f"{len(pair['worst'])} functions."
        )
    return lines


def verdict_of_edge_proposals(functions: dict[str, dict[str, Any]], suite: SuiteParams) -> list[str]:
    """How often samplers propose points near the edge."""
    words = []
    for name in suite.samplers:
        shares = [by_sampler[name]["edge_enrichment"] for by_sampler in functions.values() if name in by_sampler]
        if shares:
            words.append(f"`{name}` {np.median(shares):.1f} ({min(shares):.1f} to {max(shares):.1f})")
    return [
        "* Proposals near the edge, as a multiple of what uniform points give, median over functions and range: "
        + ", ".join(words)
        + "."
    ]


def table_of(by_sampler: dict[str, Any], order: list[str]) -> list[str]:
    """One function's table."""
    lines = [
        "| sampler | seeds | median regret [95 % interval] | worst | edge enrichment | repeats | CPU s a proposal |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in order:
        if name in by_sampler:
            cell = by_sampler[name]
            lines.append(
                f"| {name} | {cell['seeds']} | {cell['median']:.2g} [{cell['low']:.2g}, {cell['high']:.2g}] |"
                f" {cell['worst']:.2g} | {cell['edge_enrichment']:.2f} | {cell['repeats']:.3f} | {cell['cpu_s']:.2f} |"
            )
    return lines


def pairs_of(paired: dict[str, Any], order: list[str]) -> list[str]:
    """The comparisons with one reference over all functions that both have run."""
    lines = [
        "| sampler | functions | pairs | median difference [95 % interval] | wins |",
        "|---|---:|---:|---|---:|",
    ]
    for name in order:
        if name in paired:
            pair = paired[name]
            lines.append(
                f"| {name} | {len(pair['functions'])} | {pair['pairs']} | {pair['median']:+.2f} [{pair['low']:+.2f},"
                f" {pair['high']:+.2f}] | {pair['wins']:.2f} |"
            )
    return lines


def verdict(reached: dict[str, Any]) -> list[str]:
    said = {True: "reached", False: "missed"}
    lines = [f"* No sampler of ours has run all seeds of {GOALS['function']}: the goals on it are open."]
    if reached["best"]:
        lines = [
            f"* {GOALS['function']}, {reached['seeds']} seeds, `{reached['best']}`, of the least median of our "
            f"methods: median regret {reached['median']:.3g}, goal at most {GOALS['median']}: "
            f"{said[reached['median_reached']]}; "
            f"worst {reached['worst']:.3g}, goal at most {GOALS['worst']}: {said[reached['worst_reached']]}."
        ]
    if not reached["suite_best"]:
        return lines
    lines += [
        "* CPU seconds a proposal, median of a run, of our slowest method on its slowest function: "
        f"{reached['cpu_s']:.2f}, goal at most {GOALS['cpu_s']}: {said[reached['cpu_s_reached']]}.",
        f"* Over the suite, `{reached['suite_best']}`, the best of our methods (chosen after the runs), against",
    ]
    for name, pair in reached["ahead_of"].items():
        if pair is None:
            lines.append(f"    * {name}: not run;")
            continue
        lines.append(f"    * {name}: {difference(pair)} in log10 regret, above 0 in our favour; {size(pair)};")
    return [*lines[:-1], lines[-1][:-1] + "."]


def verdict_of_unseen(against: dict[str, dict[str, Any]], best: str) -> list[str]:
    """What our best method is worth on the seeds that could not have led to its choice."""
    words = [
        f"{name} {pair['median']:+.2f} [{pair['low']:+.2f}, {pair['high']:+.2f}] ({pair['pairs']} pairs)"
        for name, pair in against.items()
    ]
    return [f"* `{best}` on seeds from {SEEN} on alone, which had not been run when it was added: {', '.join(words)}."]


def version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def figure_of(paired: dict[str, dict[str, Any]], reference: str, suite: SuiteParams) -> Figure:
    """Each sampler's paired differences from the reference: over all functions, and on each."""
    figure, axes = plots.grid(1, 1, 0.4 * len(suite.samplers) + 1.2)
    axis = axes[0, 0]
    names = [name for name in suite.samplers if name in paired["all"]]
    colours = dict(zip(suite.functions, cycle(plots.CYCLE), strict=False))
    markers = dict(zip(suite.functions, "osD^v<>Pp*Xd", strict=False))
    for place, name in enumerate(names):
        one = paired["all"][name]
        axis.plot([one["low"], one["high"]], [place, place], color=plots.BLACK, lw=2.5, solid_capstyle="butt", zorder=3)
        axis.plot(one["median"], place, "|", color=plots.BLACK, ms=14, mew=2.5, zorder=3)
        for function in suite.functions:
            if name in paired.get(function, {}):
                at = paired[function][name]["median"]
                axis.plot(at, place + 0.22, markers[function], color=colours[function], ms=4.5, alpha=0.9)
    for function in suite.functions:
        if function in paired:
            axis.plot([], [], markers[function], color=colours[function], ms=4.5, label=function)
    axis.axvline(0, color=plots.GREY, lw=0.8, zorder=0)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlabel(
        f"log10 regret minus that of {reference}: median, 95 % interval over functions and seeds; left is better"
    )
    figure.legend(loc="outside right center", title="medians on")
    return figure


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
    earlier = options.out.with_suffix(".csv")
    if not paths and not earlier.exists():
        parser.error(f"{directory}: no runs; snakemake bayesopt_benchmark makes them")
    versions = {name: version for name in PACKAGES if (version := version_of(name))}
    if earlier.exists():
        then = files.read_json(options.out.with_suffix(".json"))["versions"]
        if then != versions:
            parser.error(f"{earlier}: of runs with {then}, and installed are {versions}; remove it to start again")
    final = gathered(paths, earlier)
    final = final[final["function"].isin(suite.functions) & final["sampler"].isin(list(suite.samplers))]
    ours = [n for n, one in suite.samplers.items() if one.sampler == "tessera" and one.method in ("bop", "fubar")]
    plain = [n for n, one in suite.samplers.items() if one.sampler == "tessera" and one.method in ("thompson", "ucb")]
    peers = [n for n, one in suite.samplers.items() if one.sampler not in ("tessera", "sobol")]
    order = list(suite.samplers)
    by_function = cells(final, seed)
    paired = {name: compared(final, name, seed) for name in [*ours, *plain] if name in set(final["sampler"])}
    edges = edge_rule(final, seed)
    reached = goals(by_function, paired, ours, [*peers, *plain], suite.reference)
    best = reached["suite_best"]
    unseen = compared(final[final["seed"] >= SEEN], best, seed).get("all", {}) if best else {}
    verdicts = [
        *verdict(reached),
        *(verdict_of_unseen(unseen, best) if unseen else []),
        *verdict_of_ours(paired.get(suite.reference, {}).get("all", {}), ours, suite.reference),
        *verdict_of_edges(edges),
        *verdict_of_edge_proposals(by_function, suite),
    ]
    machine = f"{platform.machine()}, Python {platform.python_version()}, one thread"
    planned = len(suite.functions) * sum(suite.fewer_seeds.get(name, suite.seeds) for name in suite.samplers)
    whole = hours(final, suite)
    shown = list(dict.fromkeys([best or ours[0], suite.reference]))
    lines = [
        f"# Optimisers compared: the suite `{options.suite}`",
        "",
        f"{suite.evaluations} evaluations, {suite.schedule.workers} at a time, asynchronous, on a simulated clock; "
        f"noise {suite.noise}. Regret of the point that would be recommended. {machine}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ".",
        "",
        "Command: `python benchmarks/bayesopt_suite.py`, after `snakemake bayesopt_benchmark` or a part of it.",
        "",
        f"Run so far: {len(by_function)} of {len(suite.functions)} functions; "
        f"{len(final)} of {planned} runs. CPU seconds are of the process, with other work on the same core."
        + (f" Proposals of all runs together: {whole:.1f} CPU hours." if whole else ""),
        "",
        "## Goals",
        "",
        *verdicts,
        "",
        f"![Differences of regret from {suite.reference}, paired]({options.out.name}.svg)",
        "",
    ]
    for reference in shown:
        if reference in paired:
            lines += [
                f"## Against `{reference}`",
                "",
                f"Differences in log10 regret from {reference}, from 1e-6, paired by function and seed; below 0 is "
                f"better than {reference}. Intervals are over functions and seeds. Wins: share of pairs with the lower "
                "regret.",
                "",
                *pairs_of(paired[reference].get("all", {}), order),
                "",
            ]
    for function in suite.functions:
        if function in by_function:
            lines += [f"## {function}", "", *table_of(by_function[function], order), ""]
    content = {
        "machine": machine,
        "versions": versions,
        "evaluations": suite.evaluations,
        "workers": suite.schedule.workers,
        "noise": suite.noise,
        "cpu_hours": whole,
        "goals": reached,
        "unseen": unseen,
        "edge_rule": edges,
        "functions": by_function,
        "paired": paired,
    }
    if suite.reference in paired:
        figure = figure_of(paired[suite.reference], suite.reference, suite)
        plots.save(figure, options.out.with_suffix(".svg"))
    files.write_csv(earlier, final)
    files.write_json(options.out.with_suffix(".json"), content)
    files.write_text(options.out.with_suffix(".md"), "\n".join(lines).rstrip() + "\n")
    files.write_text(options.out.with_name(f"{options.out.name}_verdict.md"), "\n".join(verdicts) + "\n")


if __name__ == "__main__":
    main()
