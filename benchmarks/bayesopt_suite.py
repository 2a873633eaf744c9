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
package on the median of paired differences; a proposal takes at most 0.3 CPU seconds at the median. The
evidence rule is no worse than no rule on SBOX's functions, whose optima may lie at the edge, and better in the worst case on
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


def difference(one: dict[str, Any]) -> str:
    """A comparison in words. Its differences are of another sampler's log10 regret from ours."""
    state = "ahead" if one["low"] > 0 else "behind" if one["high"] < 0 else "undecided"
    return f"{state}, {one['median']:+.2f} [{one['low']:+.2f}, {one['high']:+.2f}]"


def size(one: dict[str, Any]) -> str:
    return f"{one['pairs']} pairs on {len(one['functions'])} functions"


def verdict_of_ours(against: dict[str, dict[str, Any]], ours: list[str], reference: str) -> list[str]:
    """Each of our methods against the reference."""
    names = [name for name in ours if name in against]
    if not names:
        return []
    lines = [f"* Against `{reference}`, in log10 regret, below 0 is better ({size(against[names[0]])}):"]
    for name in names:
        one = against[name]
        state = "better" if one["high"] < 0 else "worse" if one["low"] > 0 else "undecided"
        lines.append(f"    * `{name}`: {state}, {one['median']:+.2f} [{one['low']:+.2f}, {one['high']:+.2f}];")
    return [*lines[:-1], lines[-1][:-1] + "."]


def verdict_of_edges(found: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for family, one in found.items():
        state = "better" if one["high"] < 0 else "worse" if one["low"] > 0 else "undecided"
        lines.append(
            f"* The evidence rule against no edge rule (`{EVIDENCE}`, `{NO_RULE}`) on {family.upper()}: {state}, "
            f"{one['median']:+.2f} [{one['low']:+.2f}, {one['high']:+.2f}] in log10 regret, below 0 in its favour; "
            f"{one['pairs']} pairs. Its worst seed has the lower regret on {one['worst_lower']} of {len(one['worst'])} "
            "functions."
        )
    return lines


def verdict_of_edge_proposals(found: dict[str, dict[str, Any]], suite: SuiteParams) -> list[str]:
    """How often samplers propose points near the edge."""
    words = []
    for name in suite.samplers:
        shares = [one[name]["edge_enrichment"] for one in found.values() if name in one]
        if shares:
            words.append(f"`{name}` {np.median(shares):.1f} ({min(shares):.1f} to {max(shares):.1f})")
    return [
        "* Proposals near the edge, as a multiple of what uniform points give, median over functions and range: "
        + ", ".join(words)
        + "."
    ]


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
        "| sampler | functions | pairs | median difference [95 % interval] | wins |",
        "|---|---:|---:|---|---:|",
    ]
    for name in order:
        if name in paired:
            one = paired[name]
            lines.append(
                f"| {name} | {len(one['functions'])} | {one['pairs']} | {one['median']:+.2f} [{one['low']:+.2f},"
                f" {one['high']:+.2f}] | {one['wins']:.2f} |"
            )
    return lines


def verdict(found: dict[str, Any]) -> list[str]:
    said = {True: "reached", False: "missed"}
    lines = [f"* No sampler of ours has run all seeds of {GOALS['function']}: the goals on it are open."]
    if found["best"]:
        lines = [
            f"* {GOALS['function']}, {found['seeds']} seeds, `{found['best']}`, of the least median of our methods: "
            f"median regret {found['median']:.3g}, goal at most {GOALS['median']}: {said[found['median_reached']]}; "
            f"worst {found['worst']:.3g}, goal at most {GOALS['worst']}: {said[found['worst_reached']]}."
        ]
    if not found["suite_best"]:
        return lines
    lines += [
        "* CPU seconds a proposal, median of a run, of our slowest method on its slowest function: "
        f"{found['cpu_s']:.2f}, goal at most {GOALS['cpu_s']}: {said[found['cpu_s_reached']]}.",
        f"* Over the suite, `{found['suite_best']}`, the best of our methods (chosen after the runs), against",
    ]
    for name, one in found["ahead_of"].items():
        if one is None:
            lines.append(f"    * {name}: not run;")
            continue
        lines.append(f"    * {name}: {difference(one)} in log10 regret, above 0 in our favour; {size(one)};")
    return [*lines[:-1], lines[-1][:-1] + "."]


def verdict_of_unseen(found: dict[str, dict[str, Any]], best: str) -> list[str]:
    """What our best method is worth on the seeds that could not have led to its choice."""
    words = [
        f"{name} {one['median']:+.2f} [{one['low']:+.2f}, {one['high']:+.2f}] ({one['pairs']} pairs)"
        for name, one in found.items()
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
    versions = {name: found for name in PACKAGES if (found := version_of(name))}
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
    found = cells(final, seed)
    paired = {name: compared(final, name, seed) for name in [*ours, *plain] if name in set(final["sampler"])}
    edges = edge_rule(final, seed)
    reached = goals(found, paired, ours, [*peers, *plain], suite.reference)
    best = reached["suite_best"]
    unseen = compared(final[final["seed"] >= SEEN], best, seed).get("all", {}) if best else {}
    verdicts = [
        *verdict(reached),
        *(verdict_of_unseen(unseen, best) if unseen else []),
        *verdict_of_ours(paired.get(suite.reference, {}).get("all", {}), ours, suite.reference),
        *verdict_of_edges(edges),
        *verdict_of_edge_proposals(found, suite),
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
        f"Run so far: {len(found)} of {len(suite.functions)} functions; "
        f"{len(final)} of {planned} runs. CPU seconds are of the process, measured while other work ran on the same core."
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
        if function in found:
            lines += [f"## {function}", "", *table_of(found[function], order), ""]
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
        "functions": found,
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
