"""Figures of a benchmark of optimisers."""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tessera.bayesopt import benchmark, functions
from tessera.bayesopt import propose as proposing
from tessera.bayesopt.params import SuiteParams
from tessera.bayesopt.report import tables
from tessera.bayesopt.settings import Settings
from tessera.common import plots

KINDS = {"random": plots.GREY, "thompson": plots.BLUE, "poll": plots.ORANGE}
KIND_NAMES = {"random": "uniform", "thompson": "search", "poll": "poll"}


#: Functions side by side.
COLUMNS = 3


def styles(suite: SuiteParams) -> dict[str, tuple[str, str]]:
    """A colour and a line for each sampler; those that do not learn are grey and black, other packages dashed."""
    plain = cycle([plots.GREY, plots.BLACK])
    ours, theirs = cycle(plots.CYCLE[:7]), cycle(plots.CYCLE[:7])
    found = {}
    for name, one in suite.samplers.items():
        if one.sampler == "sobol" or one.method == "random":
            found[name] = (next(plain), "-")
        else:
            found[name] = (next(ours), "-") if one.sampler == "tessera" else (next(theirs), "--")
    return found


def regret(found: pd.DataFrame, suite: SuiteParams, seed: int) -> Figure:
    """Median regret of the recommended point, by evaluations (above) and by the simulated clock (below), with its
    interval over seeds; one column per function, three in a row."""
    columns = min(COLUMNS, len(suite.functions))
    groups = -(-len(suite.functions) // columns)
    figure, axes = plots.grid(2 * groups, columns, 2.9)
    style = styles(suite)
    part = tables.asynchronous(found)
    for number, function in enumerate(suite.functions):
        group, column = divmod(number, columns)
        above, below = axes[2 * group, column], axes[2 * group + 1, column]
        below.sharey(above)
        runs = part[part["function"] == function]
        end = float(runs.groupby(["sampler", "seed"], observed=True)["ended"].max().min())
        times = np.linspace(1.0, end, 60)
        for sampler in suite.samplers:
            some = [run for _, run in runs[runs["sampler"] == sampler].groupby("seed")]
            by_evaluation = np.array([benchmark.regret_by_evaluation(run) for run in some])
            by_clock = np.array([benchmark.regret_by_clock(run, times) for run in some])
            _curve(above, np.arange(1, suite.evaluations + 1), by_evaluation, style[sampler], sampler, seed)
            _curve(below, times, by_clock, style[sampler], sampler, seed)
        above.set(title=function, xlabel="evaluations", xlim=(1, suite.evaluations))
        below.set(xlabel="simulated clock, median runtimes", xlim=(1, end))
        plots.log_scale(above.yaxis)
    for number in range(len(suite.functions), groups * columns):
        for axis in axes[2 * groups - 2 :, number % columns]:
            axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("regret of the recommended point\nmedian and 95 % interval over seeds")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5)
    return figure


def _curve(axis: Axes, x: np.ndarray, curves: np.ndarray, style: tuple[str, str], name: str, seed: int) -> None:
    kept = np.isfinite(curves).all(axis=0)
    x, curves = x[kept], np.maximum(curves[:, kept], benchmark.LEAST_REGRET)
    bounds = np.array([benchmark.interval(curves[:, i], seed, draws=400) for i in range(curves.shape[1])])
    colour, line = style
    axis.plot(x, np.median(curves, axis=0), color=colour, ls=line, label=name, lw=1.3)
    axis.fill_between(x, bounds[:, 0], bounds[:, 1], color=colour, alpha=0.1, lw=0)


def edges(found: pd.DataFrame, suite: SuiteParams, seed: int) -> Figure:
    """Edge enrichment (left) and rate of repeats (right) of each sampler, a bar a function."""
    final = tables.finals(tables.asynchronous(found))
    figure, axes = plots.grid(1, 2, 0.55 + 0.42 * len(suite.samplers) * max(1, len(suite.functions) / 4), sharey=True)
    shades = dict(zip(suite.functions, cycle(plots.CYCLE), strict=False))
    height = 0.8 / len(suite.functions)
    for axis, key in zip(axes[0], ("edges", "repeats"), strict=True):
        for i, function in enumerate(suite.functions):
            middles, errors = [], []
            for sampler in suite.samplers:
                values = final[(final["function"] == function) & (final["sampler"] == sampler)][key].to_numpy()
                rng = np.random.default_rng(seed)
                means = values[rng.integers(len(values), size=(1000, len(values)))].mean(axis=1)
                low, high = np.quantile(means, [0.025, 0.975])
                middles.append(values.mean())
                errors.append((max(values.mean() - low, 0), max(high - values.mean(), 0)))
            places = np.arange(len(suite.samplers)) + (i - (len(suite.functions) - 1) / 2) * height
            # More functions than colours: hatched from the second round on.
            hatch = "////" * (i // len(plots.CYCLE)) or None
            axis.barh(places, middles, height, xerr=np.array(errors).T, color=shades[function], label=function,
                      hatch=hatch, edgecolor="white", lw=0, error_kw={"lw": 0.8, "ecolor": plots.BLACK})  # fmt: skip
        axis.grid(False, axis="y")
        axis.margins(y=0.01)
    axes[0, 0].axvline(1, color=plots.BLACK, lw=0.8, ls="--")
    axes[0, 0].set(
        xlabel="edge enrichment: proposals within 2 % of a bound,\nover the share of uniform points (dashed)"
    )
    axes[0, 1].set(xlabel="share of proposals within 0.1 % of an earlier one,\non all axes")
    axes[0, 0].set_yticks(range(len(suite.samplers)), list(suite.samplers))
    axes[0, 0].invert_yaxis()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


def lag(found: pd.DataFrame, suite: SuiteParams, seed: int) -> Figure:
    """Makespan and final regret by lag, beside batches and the asynchronous schedule."""
    table = tables.lag(found, suite, seed).set_index("schedule")
    figure, axes = plots.grid(1, 2, 3.0)
    names = [f"lag {value}" for value in suite.lag.lags]
    for axis, key in zip(axes[0], ("makespan", "regret"), strict=True):
        part = table.loc[names]
        middle = part[f"{key}_median"].to_numpy()
        errors = np.abs(np.array([middle - part[f"{key}_low"], part[f"{key}_high"] - middle]))
        axis.errorbar(suite.lag.lags, middle, errors, color=plots.BLUE, marker="o", label="lag-L")
        for name, colour in (("sync", plots.RED), ("async", plots.GREEN)):
            row = table.loc[name]
            axis.axhline(row[f"{key}_median"], color=colour, label={"sync": "batches", "async": "asynchronous"}[name])
            axis.axhspan(row[f"{key}_low"], row[f"{key}_high"], color=colour, alpha=0.12, lw=0)
        axis.set_xscale("log", base=2)
        axis.set_xticks(suite.lag.lags, [str(value) for value in suite.lag.lags])
        axis.set_xlabel("lag L")
    axes[0, 0].set(ylabel="makespan, median runtimes", title=f"{suite.schedule.workers} workers, {suite.lag.function}")
    axes[0, 1].set(ylabel="regret at the end", yscale="log", title=suite.lag.sampler)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def proposals(found: pd.DataFrame, suite: SuiteParams, seed: int) -> Figure:
    """The proposals of one run of each of up to three samplers on a plane, the last posterior mean, and the floor."""
    flat = [name for name in suite.functions if functions.get(name).space.width == 2]
    if not flat:
        raise ValueError(f"functions = {suite.functions}: valid is at least one of two variables, for the figure")
    learning = [n for n, o in suite.samplers.items() if o.sampler == "tessera" and o.method != "random"][:3]
    figure, axes = plots.grid(1, len(learning), 3.4, sharex=True, sharey=True)
    ticks = np.linspace(0, 1, 101)
    mesh = np.array([(a, b) for b in ticks for a in ticks])
    part = tables.asynchronous(found)
    for axis, sampler in zip(axes[0], learning, strict=True):
        run = part[(part["function"] == flat[0]) & (part["sampler"] == sampler) & (part["seed"] == 0)]
        X = run[["x0", "x1"]].to_numpy()
        settings = Settings(**suite.samplers[sampler].options())
        y = proposing.standardise(run["value"].to_numpy(), settings.transform)
        rng = np.random.default_rng(seed)
        theta = proposing.fit(X, y, settings, np.zeros(0), rng)
        posterior = proposing.condition(X, y, theta, X[:0], settings, rng)
        mean, sd = posterior.mean_sd(mesh)
        shape = (len(ticks), len(ticks))
        axis.contourf(ticks, ticks, mean.reshape(shape), 14, cmap="Greys", alpha=0.55)
        least = max(settings.rho * posterior.hyper.noise, settings.sem_min)
        known = (sd <= least).reshape(shape).astype(float)
        if settings.floor and known.any():
            axis.contourf(ticks, ticks, known, [0.5, 1.5], colors="none", hatches=["////"])
            axis.contour(ticks, ticks, known, [0.5], colors=plots.GREEN, linewidths=0.8)
        for kind, colour in KINDS.items():
            some = run[run["kind"] == kind]
            axis.scatter(
                some["x0"],
                some["x1"],
                s=16,
                color=colour,
                ec="white",
                lw=0.4,
                zorder=3,
                clip_on=False,
                label=KIND_NAMES[kind],
            )
        axis.set(title=sampler, xlabel="$x_0$, share of its range", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axis.grid(False)
    axes[0, 0].set_ylabel("$x_1$, share of its range")
    handles, names = axes[0, 0].get_legend_handles_labels()
    handles.append(plots.line(plots.GREEN))
    figure.legend(handles, [*names, "known well enough (floor)"], loc="outside lower center", ncols=4)
    return figure
