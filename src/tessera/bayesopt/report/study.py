"""What a study of the workflow found: its trials, their trace, metrics, and a run for each."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from tessera.bayesopt.params import StudyParams, defaults
from tessera.bayesopt.report.figures import KIND_NAMES, KINDS
from tessera.bayesopt.trial import Trial, best
from tessera.common import plots
from tessera.common.files import Json
from tessera.common.run_files import RunRecord


def table(trials: Sequence[Trial]) -> pd.DataFrame:
    """One row a trial, the same bytes whatever ran when."""
    rows = []
    for trial in trials:
        row: Json = {"trial": trial.id, "kind": trial.kind, "state": trial.state, "value": trial.value}
        rows.append({**row, **trial.params, "seen": len(trial.seen), "pending": len(trial.pending), "seed": trial.seed})
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def metrics(trials: Sequence[Trial], confirmations: Sequence[Json]) -> Json:
    """The best trial, trial 0 where it is a baseline, and how both did with other seeds."""
    least = best(trials)
    return {
        "trials": len(trials),
        "failed": sum(trial.value is None for trial in trials),
        "best": None if least is None else {"trial": least.id, "value": least.value, "params": least.params},
        "baseline": trials[0].value if trials[0].kind == "baseline" else None,
        "confirmed": confirmed(confirmations) if confirmations else None,
    }


def confirmed(confirmations: Sequence[Json]) -> Json:
    """Means over other seeds of the baseline and the best trial, and of their differences (tuned less baseline), with
    Student's 95 % interval; seeds with which either failed are counted and left out. None where fewer than two are
    left."""
    pairs = np.array([[one["baseline"], one["tuned"]] for one in confirmations if None not in one.values()])
    found: Json = {"seeds": len(confirmations), "failed": len(confirmations) - len(pairs)}
    if len(pairs) < 2:
        return found | dict.fromkeys(("baseline", "tuned", "difference", "low", "high"))
    difference = pairs[:, 1] - pairs[:, 0]
    half = stats.t.ppf(0.975, len(pairs) - 1) * difference.std(ddof=1) / np.sqrt(len(pairs))
    middle = difference.mean()
    names = ("baseline", "tuned", "difference", "low", "high")
    values = (*pairs.mean(axis=0), middle, middle - half, middle + half)
    return found | dict(zip(names, map(float, values), strict=True))


def trace(trials: Sequence[Trial], confirmations: Sequence[Json], study: str, params: StudyParams) -> Figure:
    """Value of each trial by how it was found, the best so far, and the baseline; and beside it, where there are
    confirmations, baseline and best trial with other seeds."""
    if confirmations:
        figure, axes = plots.grid(1, 2, 3.2, sharey=True, width_ratios=[3, 1])
        _pairs(axes[0, 1], confirmations)
    else:
        figure, axes = plots.grid(1, 1, 3.2)
    axis = axes[0, 0]
    values = np.array([np.nan if trial.value is None else trial.value for trial in trials])
    axis.step(
        range(len(values)), np.fmin.accumulate(values), where="post", color=plots.BLACK, lw=1.0, label="best so far"
    )
    for kind, colour in {"baseline": plots.RED, **KINDS}.items():
        which = [i for i, trial in enumerate(trials) if trial.kind == kind]
        label = "defaults" if kind == "baseline" else KIND_NAMES[kind]
        if which:
            axis.scatter(which, values[which], s=22, color=colour, ec="white", lw=0.4, zorder=3, label=label)
    failed = np.flatnonzero(np.isnan(values))
    if len(failed):
        place = np.nanmax(values) if np.isfinite(values).any() else 1.0
        axis.scatter(failed, np.full(len(failed), place), marker="x", s=22, color=plots.BLACK, label="failed", zorder=3)
    if trials[0].kind == "baseline" and np.isfinite(values[0]):
        axis.axhline(values[0], color=plots.RED, lw=0.8, ls="--")
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0 and finite.max() > 30 * finite.min():
        plots.log_scale(axis.yaxis)
    metric = ".".join(map(str, params.objective.metric))
    axis.set(title=f"{study}, lag {params.lag}", xlabel="trial", ylabel=f"{metric} of {params.objective.stage}")
    figure.legend(loc="outside right upper")
    return figure


def _pairs(axis: Axes, confirmations: Sequence[Json]) -> None:
    """A line a seed from the baseline's value to the best trial's, and the means."""
    for one in confirmations:
        if one["baseline"] is not None and one["tuned"] is not None:
            axis.plot([0, 1], [one["baseline"], one["tuned"]], color=plots.GREY, marker="o", ms=3, lw=0.8)
    found = confirmed(confirmations)
    if found["tuned"] is not None:
        axis.plot([0, 1], [found["baseline"], found["tuned"]], color=plots.BLACK, marker="D", ms=5, lw=1.6)
    axis.set(title=f"{found['seeds']} other seeds", xlim=(-0.4, 1.4))
    axis.set_xticks([0, 1], ["defaults", f"trial {confirmations[0]['trial']}"])


def records(
    trials: Sequence[Trial], costs: Sequence[Mapping[str, float]], study: str, params: StudyParams
) -> Iterator[tuple[str, RunRecord]]:
    """A run for every trial."""
    for trial, cost in zip(trials, costs, strict=True):
        pairs = [f"study={study}", f"trial={trial.id}"]
        found = {"seconds": float(cost["seconds"])}
        if trial.value is not None:
            found["value"] = trial.value
        record = RunRecord(
            experiment=f"bayesopt/{study}",
            name="/".join(["bayesopt_evaluate", *pairs]),
            params={**trial.params, "lag": params.lag, "settings": defaults() | {"method": params.method}},
            tags={
                "snakemake.rule": "bayesopt_evaluate",
                "snakemake.wildcards": ", ".join(pairs),
                "device": "cpu",
                "seed": str(params.seed),
                "kind": trial.kind,
                "state": trial.state,
            },
            metrics=found,
            figures=[f"reports/figures/bayesopt_{study}/trace.svg"],
            note=f"failed: {trial.error}" if trial.error else "",
        )
        yield f"bayesopt_evaluate/{'-'.join(pairs)}", record
