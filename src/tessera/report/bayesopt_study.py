"""What a study of the workflow found: its trials, their trace, metrics, and a run for each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tessera.bayesopt.params import StudyParams, defaults
from tessera.bayesopt.trial import Trial
from tessera.common import plots
from tessera.common.run_files import RunRecord
from tessera.report.bayesopt_figures import KIND_NAMES, KINDS


def table(trials: Sequence[Trial]) -> pd.DataFrame:
    """One row a trial, the same bytes whatever ran when."""
    rows = []
    for trial in trials:
        row: dict[str, Any] = {"trial": trial.id, "kind": trial.kind, "state": trial.state, "value": trial.value}
        rows.append({**row, **trial.params, "seen": len(trial.seen), "pending": len(trial.pending), "seed": trial.seed})
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def metrics(trials: Sequence[Trial]) -> dict[str, Any]:
    """The best trial, and trial 0 where it is a baseline."""
    done = [trial for trial in trials if trial.value is not None]
    best = min(done, key=lambda trial: (trial.value, trial.id)) if done else None
    return {
        "trials": len(trials),
        "failed": len(trials) - len(done),
        "best": None if best is None else {"trial": best.id, "value": best.value, "params": best.params},
        "baseline": trials[0].value if trials[0].kind == "baseline" else None,
    }


def trace(trials: Sequence[Trial], study: str, params: StudyParams) -> Figure:
    """Value of each trial by how it was found, the best so far, and the baseline."""
    figure, axes = plots.grid(1, 1, 3.2)
    axis = axes[0, 0]
    values = np.array([np.nan if trial.value is None else trial.value for trial in trials])
    best = np.fmin.accumulate(values)
    axis.step(range(len(values)), best, where="post", color=plots.BLACK, lw=1.0, label="best so far")
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
