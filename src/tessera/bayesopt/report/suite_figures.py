"""Figures of a benchmark of optimisers."""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tessera.bayesopt import benchmark, functions
from tessera.bayesopt import propose as proposing
from tessera.bayesopt.params import SamplerParams, SuiteParams
from tessera.bayesopt.report import tables
from tessera.bayesopt.report.results import SuiteResults
from tessera.bayesopt.settings import Settings
from tessera.common import plots
from tessera.common.statistics import percentile_interval

#: Colour and name of each kind of proposal.
KINDS = {"random": plots.GREY, "thompson": plots.BLUE, "poll": plots.ORANGE}
KIND_NAMES = {"random": "uniform", "thompson": "search", "poll": "poll"}
#: Functions side by side.
COLUMNS = 3
#: The most samplers whose intervals are legible in one panel.
BANDS = 8
#: Points of all lines of a figure together; each takes about 25 bytes of its file.
POINTS = 4500


def styles(suite: SuiteParams) -> dict[str, tuple[str, str]]:
    """A colour and a line style for each sampler; those that do not learn are grey and black, other packages dashed."""
    plain = cycle([plots.GREY, plots.BLACK])
    ours, theirs = cycle(plots.CYCLE[:7]), cycle(plots.CYCLE[:7])
    pairs = {}
    for name, sampler in suite.samplers.items():
        if sampler.sampler == "sobol" or sampler.method == "random":
            pairs[name] = (next(plain), "-")
        else:
            pairs[name] = (next(ours), "-") if sampler.sampler == "tessera" else (next(theirs), "--")
    return pairs


def regret(results: SuiteResults) -> Figure:
    """Regret of the point that would be recommended, by evaluations (above) and by a simulated clock in median runtimes
    (below), on which the workers share log-normal runtimes.

    Lines are medians over seeds, bands 95 % bootstrap intervals of the median over the seeds of each function. With
    more than eight samplers, only the medians by evaluations are shown.
    """
    suite = results.suite
    detailed = len(suite.samplers) <= BANDS
    rows = 2 if detailed else 1
    columns = min(COLUMNS, len(suite.functions))
    groups = -(-len(suite.functions) // columns)
    figure, axes = plots.grid(rows * groups, columns, 2.9)
    count = points(rows * len(suite.functions) * len(suite.samplers) * (3 if detailed else 1))
    evaluations = np.unique(np.linspace(1, suite.evaluations, count).round().astype(int))
    for number, function in enumerate(suite.functions):
        group, column = divmod(number, columns)
        runs = results.asynchronous[results.asynchronous["function"] == function]
        by_seed = {name: [run for _, run in runs[runs["sampler"] == name].groupby("seed")] for name in suite.samplers}
        above = axes[rows * group, column]
        curves = {
            name: np.array([benchmark.regret_by_evaluation(run)[evaluations - 1] for run in by_seed[name]])
            for name in suite.samplers
        }
        _panel(above, evaluations, curves, results, bands=detailed)
        above.set(title=function, xlabel="evaluations", xlim=(1, suite.evaluations))
        if detailed:
            below = axes[rows * group + 1, column]
            below.sharey(above)
            end = float(runs.groupby(["sampler", "seed"], observed=True)["ended"].max().min())
            times = np.linspace(1.0, end, count)
            curves = {
                name: np.array([benchmark.regret_by_clock(run, times) for run in by_seed[name]])
                for name in suite.samplers
            }
            _panel(below, times, curves, results, bands=True)
            below.set(xlabel="simulated clock", xlim=(1, end))
        plots.log_scale(above.yaxis)
        above.yaxis.minorticks_off()  # up to nine per power of ten, in every panel
    for number in range(len(suite.functions), groups * columns):
        for axis in axes[rows * (groups - 1) :, number % columns]:
            axis.set_visible(False)
    spread = "median and 95 % interval over seeds" if detailed else "median over seeds"
    figure.supylabel(f"regret of the recommended point: {spread}", fontsize="medium")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def points(lines: int) -> int:
    """Return how many points each of n lines has if they are to have POINTS together: 8 to 60."""
    return min(max(POINTS // lines, 8), 60)


def _panel(axis: Axes, x: np.ndarray, curves: dict[str, np.ndarray], results: SuiteResults, bands: bool) -> None:
    """Draw the median of each sampler's curves (seeds, x), and its interval if asked, where all seeds have a value."""
    style = styles(results.suite)
    for name, values in curves.items():
        kept = np.isfinite(values).all(axis=0)
        values, colour = np.maximum(values[:, kept], benchmark.LEAST_REGRET), style[name][0]
        axis.plot(x[kept], np.median(values, axis=0), color=colour, ls=style[name][1], label=name, lw=1.3)
        if bands:
            bounds = np.array([benchmark.interval(column, results.seed, draws=400) for column in values.T])
            axis.fill_between(x[kept], bounds[:, 0], bounds[:, 1], color=colour, alpha=0.1, lw=0)


def edges(results: SuiteResults) -> Figure:
    """Left: how much more often than uniform points proposals lie within 2 % of a bound, initial points left out.
    Right: how often a proposal repeats an earlier one. One bar per function, the mean over seeds, with its 95 %
    bootstrap interval.
    """
    suite, final = results.suite, results.finals
    final = final[final["schedule"] == "async"]
    figure, axes = plots.grid(1, 2, 0.55 + 0.42 * len(suite.samplers) * max(1, len(suite.functions) / 4), sharey=True)
    shades = dict(zip(suite.functions, cycle(plots.CYCLE), strict=False))
    height = 0.8 / len(suite.functions)
    for axis, key in zip(axes[0], ("edges", "repeats"), strict=True):
        for i, function in enumerate(suite.functions):
            middles, errors = [], []
            for sampler in suite.samplers:
                values = final[(final["function"] == function) & (final["sampler"] == sampler)][key].to_numpy()
                rng = np.random.default_rng(results.seed)
                low, high = percentile_interval(np.mean, values, rng, draws=1000)
                middles.append(values.mean())
                errors.append((max(values.mean() - low, 0), max(high - values.mean(), 0)))
            places = np.arange(len(suite.samplers)) + (i - (len(suite.functions) - 1) / 2) * height
            # If there are more functions than colours: hatched from the second round on.
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


def lag(results: SuiteResults) -> Figure:
    """Makespan, in median runtimes, and final regret by lag L, compared with batches and the asynchronous schedule on
    the same draws of runtimes. Medians over seeds with 95 % bootstrap intervals.
    """
    choice, table = results.suite.lag, tables.lag(results).set_index("schedule")
    figure, axes = plots.grid(1, 2, 3.0)
    for axis, key in zip(axes[0], ("makespan", "regret"), strict=True):
        part = table.loc[[f"lag {value}" for value in choice.lags]]
        middle = part[f"{key}_median"].to_numpy()
        errors = np.abs(np.array([middle - part[f"{key}_low"], part[f"{key}_high"] - middle]))
        axis.errorbar(choice.lags, middle, errors, color=plots.BLUE, marker="o", label="lag-L")
        for schedule, colour, label in (("sync", plots.RED, "batches"), ("async", plots.GREEN, "asynchronous")):
            row = table.loc[schedule]
            axis.axhline(row[f"{key}_median"], color=colour, label=label)
            axis.axhspan(row[f"{key}_low"], row[f"{key}_high"], color=colour, alpha=0.12, lw=0)
        axis.set_xscale("log", base=2)
        axis.set_xticks(choice.lags, [str(value) for value in choice.lags])
        axis.set_xlabel("lag L")
    title = f"{results.suite.schedule.workers} workers, {choice.function}"
    axes[0, 0].set(ylabel="makespan, median runtimes", title=title)
    axes[0, 1].set(ylabel="regret at the end", yscale="log", title=choice.sampler)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def proposals(results: SuiteResults) -> Figure:
    """Proposals of one run on a function of two variables, by how they were found, over the posterior mean (dark is
    high) after the last, for up to three samplers.

    Hatched, with a green border, is where the function is known well enough: points there are not evaluated again.
    """
    suite, runs = results.suite, results.asynchronous
    planes = [name for name in suite.functions if functions.get(name).space.width == 2]
    if not planes:
        raise ValueError(f"functions = {suite.functions}: the figure needs at least one of two variables")
    learning = [n for n, o in suite.samplers.items() if o.sampler == "tessera" and o.method != "random"][:3]
    figure, axes = plots.grid(1, len(learning), 3.4, sharex=True, sharey=True)
    for axis, sampler in zip(axes[0], learning, strict=True):
        run = runs[(runs["function"] == planes[0]) & (runs["sampler"] == sampler) & (runs["seed"] == 0)]
        _posterior(axis, run, suite.samplers[sampler], results.seed)
        for kind, colour in KINDS.items():
            points = run[run["kind"] == kind]
            label = KIND_NAMES[kind]
            axis.scatter(points["x0"], points["x1"], s=16, color=colour, ec="white", lw=0.4, zorder=3, clip_on=False,
                         label=label)  # fmt: skip
        axis.set(title=sampler, xlabel="$x_0$, share of its range", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axis.grid(False)
    axes[0, 0].set_ylabel("$x_1$, share of its range")
    handles, names = axes[0, 0].get_legend_handles_labels()
    handles.append(plots.line(plots.GREEN))
    figure.legend(handles, [*names, "known well enough (floor)"], loc="outside lower center", ncols=4)
    return figure


def _posterior(axis: Axes, run: pd.DataFrame, sampler: SamplerParams, seed: int) -> None:
    """The mean after a run on a plane, and where the floor says that enough is known."""
    ticks = np.linspace(0, 1, 101)
    mesh = np.array([(a, b) for b in ticks for a in ticks])
    shape = (len(ticks), len(ticks))
    X = run[["x0", "x1"]].to_numpy()
    settings = Settings(**sampler.options())
    y = proposing.standardise(run["value"].to_numpy(), settings.transform)
    rng = np.random.default_rng(seed)
    theta = proposing.fit(X, y, settings, np.zeros(0), rng)
    posterior = proposing.condition(X, y, theta, X[:0], settings, rng)
    mean, sd = posterior.mean_sd(mesh)
    axis.contourf(ticks, ticks, mean.reshape(shape), 14, cmap="Greys", alpha=0.55)
    least = max(settings.rho * posterior.hyper.noise, settings.sem_min)
    known = (sd <= least).reshape(shape).astype(float)
    if settings.floor and known.any():
        axis.contourf(ticks, ticks, known, [0.5, 1.5], colors="none", hatches=["////"])
        axis.contour(ticks, ticks, known, [0.5], colors=plots.GREEN, linewidths=0.8)
