"""Table, figure and numbers of a study of the workflow."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from tessera.bayesopt.report.results import StudyResults
from tessera.bayesopt.report.suite_figures import KIND_NAMES, KINDS
from tessera.bayesopt.trial import best
from tessera.common import plots
from tessera.common.files import Json


def trials(results: StudyResults) -> pd.DataFrame:
    """Every trial of the study: its point, its value, how many results and pending points its proposal knew.

    The table is the same whatever ran when, and on however many workers.
    """
    rows = []
    for trial in results.trials:
        row: Json = {"trial": trial.id, "kind": trial.kind, "state": trial.state, "value": trial.value}
        rows.append({**row, **trial.params, "seen": len(trial.seen), "pending": len(trial.pending), "seed": trial.seed})
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def metrics(results: StudyResults) -> Json:
    """The trial of least value; trial 0 if it is a baseline; how it and the recommended trial did with other seeds."""
    least, first = best(results.trials), results.trials[0]
    return {
        "trials": len(results.trials),
        "failed": sum(trial.value is None for trial in results.trials),
        "best": None if least is None else {"trial": least.id, "value": least.value, "params": least.params},
        "baseline": first.value if first.kind == "baseline" else None,
        "confirmed": confirmed(results.confirmations) if results.confirmations else None,
    }


def confirmed(confirmations: Sequence[Json]) -> Json:
    """Means over other seeds of the baseline and the recommended trial, and of their differences (tuned - baseline),
    with Student's 95 % interval. Seeds with which either failed are counted and left out; with fewer than two others
    the means are null.
    """
    pairs = np.array([[row["baseline"], row["tuned"]] for row in confirmations if None not in row.values()])
    counts: Json = {"seeds": len(confirmations), "failed": len(confirmations) - len(pairs)}
    names = ("baseline", "tuned", "difference", "low", "high")
    if len(pairs) < 2:
        return counts | dict.fromkeys(names)
    difference = pairs[:, 1] - pairs[:, 0]
    half = stats.t.ppf(0.975, len(pairs) - 1) * difference.std(ddof=1) / np.sqrt(len(pairs))
    middle = difference.mean()
    values = (*pairs.mean(axis=0), middle, middle - half, middle + half)
    return counts | dict(zip(names, map(float, values), strict=True))


def trace(results: StudyResults) -> Figure:
    """Values of a study's trials by how their points were found, and the best so far. The dashed line is the baseline,
    if the study has one. Right, if it is confirmed: baseline and recommended trial with other seeds, one line per
    seed, the means in black.
    """
    if results.confirmations:
        figure, axes = plots.grid(1, 2, 3.2, sharey=True, width_ratios=[3, 1])
        _pairs(axes[0, 1], results.confirmations)
    else:
        figure, axes = plots.grid(1, 1, 3.2)
    axis, params = axes[0, 0], results.params
    values = np.array([np.nan if trial.value is None else trial.value for trial in results.trials])
    so_far = np.fmin.accumulate(values)
    axis.step(range(len(values)), so_far, where="post", color=plots.BLACK, lw=1.0, label="best so far")
    for kind, colour in {"baseline": plots.RED, **KINDS}.items():
        which = [i for i, trial in enumerate(results.trials) if trial.kind == kind]
        label = "defaults" if kind == "baseline" else KIND_NAMES[kind]
        if which:
            axis.scatter(which, values[which], s=22, color=colour, ec="white", lw=0.4, zorder=3, label=label)
    failed = np.flatnonzero(np.isnan(values))
    if len(failed):
        place = np.nanmax(values) if np.isfinite(values).any() else 1.0
        axis.scatter(failed, np.full(len(failed), place), marker="x", s=22, color=plots.BLACK, label="failed", zorder=3)
    if results.trials[0].kind == "baseline" and np.isfinite(values[0]):
        axis.axhline(values[0], color=plots.RED, lw=0.8, ls="--")
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0 and finite.max() > 30 * finite.min():
        plots.log_scale(axis.yaxis)
    axis.set(title=f"{results.name}, lag {params.lag}", xlabel="trial", ylabel=metric_label(params.objective.metric))
    figure.legend(loc="outside right upper")
    return figure


def metric_label(path: Sequence[str | int]) -> str:
    """An objective's metric in words: its path in the stage's file of metrics, such as "noisy, missed rate"."""
    return ", ".join(str(key).replace("_", " ") for key in path)


def _pairs(axis: Axes, confirmations: Sequence[Json]) -> None:
    """One line per seed from the baseline's value to the recommended trial's, and the means."""
    for row in confirmations:
        if row["baseline"] is not None and row["tuned"] is not None:
            axis.plot([0, 1], [row["baseline"], row["tuned"]], color=plots.GREY, marker="o", ms=3, lw=0.8)
    means = confirmed(confirmations)
    if means["tuned"] is not None:
        axis.plot([0, 1], [means["baseline"], means["tuned"]], color=plots.BLACK, marker="D", ms=5, lw=1.6)
    axis.set(title=f"{means['seeds']} other seeds", xlim=(-0.4, 1.4))
    axis.set_xticks([0, 1], ["defaults", f"trial {confirmations[0]['trial']}"])
