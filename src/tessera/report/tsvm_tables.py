"""Tables of the T-SVM study, the numbers that claims refer to, and what they say in words."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from tessera.report.tsvm_results import Results


def margins(found: Results) -> pd.DataFrame:
    """Bounds on the margins of the reference problems."""
    names = ["problem", "afferents", "targets", "seed"]
    parts = ("low", "up", "gap", "rounds", "cuts", "support")
    columns = [f"{variant}_{part}" for variant in ("one_sided", "hold") for part in parts]
    return found.problems()[[*names, *columns, "online_margin", "free_largest_shift"]]


TABLES = {"margins": margins, "loads": Results.loads, "soft": lambda found: found.soft}


def metrics(found: Results) -> dict[str, Any]:
    """The study's numbers in one mapping: step -> problem or setting -> number."""
    return {
        "problems": {run.params["problem"]: run.metrics for run in found.runs["tsvm_problem"]},
        "load": {f"{run.params['targets']}": run.metrics for run in found.runs["tsvm_load"]}
        | {"feasible_rises": float(_rises(found.loads()))},
    }


def _rises(loads: pd.DataFrame) -> int:
    """Steps of the load at which the feasible fraction rises by more than two standard errors."""
    table = loads.sort_values("load")
    step = table["feasible"].diff()
    error = (table["feasible_error"] ** 2 + table["feasible_error"].shift() ** 2) ** 0.5
    return int((step > 2 * error.clip(lower=1 / table["problems"].min())).sum())


def markdown(found: Results) -> str:
    """Results in words and tables, for the document and the report."""
    return "\n".join([*_margin_part(found), "", *_load_part(found)]) + "\n"


def _margin_part(found: Results) -> Iterator[str]:
    yield (
        "Largest dynamical margin of the reference problems, with and without hold window, as the interval that is "
        "proved; "
        "relative gap; rounds, cuts and temporal support vectors with hold window; what the online rule reaches."
    )
    yield ""
    yield (
        "| problem | afferents | targets | κ*, one-sided | κ*, hold window | gap | rounds | cuts | support | online "
        "rule |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for row in found.problems().itertuples():
        yield (
            f"| {row.problem} | {row.afferents} | {row.targets} | {_interval(row.one_sided_low, row.one_sided_up)} | "
            f"{_interval(row.hold_low, row.hold_up)} | {row.hold_gap:.1e} | {row.hold_rounds:.0f} | "
            f"{row.hold_cuts:.0f} | "
            f"{row.hold_support:.0f} | {row.online_margin:.5f} |"
        )


def _interval(low: float, up: float) -> str:
    return f"[{low:.8f}, {up:.8f}]"


def _load_part(found: Results) -> Iterator[str]:
    afferents = found.runs["tsvm_load"][0].params["afferents"]
    yield (
        f"By load, {afferents} afferents: fraction of problems for which a margin is proved, median margin of these, "
        f"and F1 "
        "of the free neuron without noise (± one standard error over problems) by the soft T-SVM and by the "
        "first-error "
        "perceptron, which need only come within 1 ms of a target."
    )
    yield ""
    yield "| spikes per synapse | problems | feasible | undecided | median κ | soft T-SVM F1 | perceptron F1 |"
    yield "|---:|---:|---:|---:|---:|---:|---:|"
    for row in found.loads().itertuples():
        margin = f"{row.margin_median:.3g}" if row.feasible > 0 else "-"
        yield (
            f"| {row.load:.2f} | {row.problems} | {row.feasible:.2f} | {row.undecided:.2f} | {margin} | "
            f"{row.soft_f1:.3f} ± {row.soft_f1_error:.3f} | {row.perceptron_f1:.3f} ± {row.perceptron_f1_error:.3f} |"
        )
