"""Tables and runs of the validity study."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from tessera.common.files import Json
from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.validity.report.results import (
    PREDICTORS,
    STATE_NAMES,
    STATES,
    Results,
    composed_pairs,
    optima,
    predictions,
    summary,
)

SET_NAMES = {
    "all": "all children",
    "fitted": "small sums",
    "searched": "the search's children",
    "other": "baselines and random",
}
FIGURES = "reports/figures/puzzle_validity"


def children(found: Results) -> pd.DataFrame:
    """One row a child that was run: what was predicted of it and what it is."""
    forms = {name: predictions(found, name) for name in PREDICTORS}
    rows = []
    for row in found.children:
        one = {key: row[key] for key in ("name", "group", "target", "method", "speedup")}
        one |= {"replaced_subblocks": found.replaced(row), "predicted_se": found.predicted_se(row)}
        one |= {f"predicted_{name}": values[row["name"]] for name, values in forms.items()}
        for state in STATES:
            one |= {f"{state}_{key}": row[state][key] for key in ("kl_div", "kl_div_se", "lm_loss", "top1")}
        rows.append(one | {"blocks": " ".join(row["blocks"])})
    return pd.DataFrame(rows)


def composed(found: Results) -> pd.DataFrame:
    """One row a pair of subblocks that was scored as one."""
    return pd.DataFrame(composed_pairs(found))


def optimum(found: Results) -> pd.DataFrame:
    """One row an optimum of a corrected objective, beside the sum's own."""
    rows = []
    for row in optima(found):
        one = {key: value for key, value in row.items() if key not in STATES}
        rows.append(one | {f"{state}_{key}": value for state in STATES for key, value in row[state].items()})
    return pd.DataFrame(rows)


def time(found: Results) -> pd.DataFrame:
    """One row a child that served the workload, the parent first."""
    rows = []
    for name, one in found.time["children"].items():
        row: Json = {"name": name, "group": one["group"]}
        row |= {f"predicted_{key}": value for key, value in one["predicted"].items() if key.endswith("_ms")}
        row |= {f"measured_{key}": value for key, value in one["measured"].items() if "_ms" in key}
        row |= {f"speedup_{key}": value for key, value in one["speedup"].items()}
        rows.append(row | {f"predicted_speedup_{key}": value for key, value in one["predicted_speedup"].items()})
    return pd.DataFrame(rows)


def _interval(one: Json, digits: int = 2) -> str:
    if one["value"] is None:
        return "-"
    ends = "" if one["low"] is None else f" [{one['low']:.{digits}f}, {one['high']:.{digits}f}]"
    return f"{one['value']:.{digits}f}{ends}"


def markdown(found: Results) -> str:
    """The study in three tables."""
    made = summary(found)
    lines = [
        f"{made['children']} children; 95 % intervals by the bootstrap over children. Count: Spearman's correlation of "
        "KL with the number of replaced subblocks alone; given it: the partial one of the prediction.",
        "",
        "| children | prediction | KL measured | Spearman | count | given it | Kendall | true / predicted | error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, predictors in made["ranks"].items():
        for predictor in (predictor for predictor in PREDICTORS if predictor in predictors):
            for state, one in predictors[predictor].items():
                bias = made["bias"][name].get(predictor, {}).get(state)
                ratio, error = (_interval(bias["ratio"]), _interval(bias["error"])) if bias else ("", "")
                lines.append(
                    f"| {SET_NAMES[name]} ({one['children']}) | {PREDICTORS[predictor]} | {STATE_NAMES[state]} "
                    f"| {_interval(one['spearman'])} | {_interval(predictors['replaced'][state])} "
                    f"| {_interval(one['partial'])} | {_interval(one['kendall'])} | {ratio} | {error} |"
                )
    lines += [
        "",
        "Error is the root mean square of log(true / predicted). "
        f"Small sums are those up to {made['correction']['most']:g} nats.",
        "",
        "| optimum of | KL measured | KL / KL of the sum's optimum | better | clearly better | clearly worse |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for form, states in made["optimum"].items():
        name = "measured" if form == "measured" else f"fitted by {form}"
        for state, one in states.items():
            lines.append(
                f"| the sum with interactions {name} | {STATE_NAMES[state]} | {_interval(one['ratio'], 3)} "
                f"| {one['better']} of {one['of']} | {one['clearly_better']} | {one['clearly_worse']} |"
            )
    lines += [
        "",
        "| time | children | predicted / measured speed-up | error | by parameters | constant | largest | Spearman |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for phase in ("prefill", "decode", "runtime"):
        if phase in made["time"]:
            one = made["time"][phase]
            lines.append(
                f"| {phase} | {made['time']['children']} | {one['ratio']:.3f} | {one['error']:.3f} "
                f"| {one['error_by_parameters']:.3f} | {one['error_of_constant']:.3f} | {one['largest']:.3f} "
                f"| {_interval(one['ranks']['spearman'])} |"
            )
    lines += ["", "By parameters, constant: errors of a speed-up by the number of parameters, and of one for all."]
    if "ratio" in made["composed"]:
        lines += ["", f"Score of a block over the sum of its two subblocks' ({made['composed']['pairs']} pairs): "
                  f"{_interval(made['composed']['ratio'])}."]  # fmt: skip
    return "\n".join(lines) + "\n"


def runs(found: Results, params: Json, seed: int) -> Iterator[tuple[str, RunRecord]]:
    """Yield RULE/NAME, where the run's file belongs, and the run: one a child, and one of the study's numbers."""
    forms = {name: predictions(found, name) for name in PREDICTORS}
    for row in [*found.children, *found.corrected]:
        metrics = {f"predicted/{name}": values.get(row["name"]) for name, values in forms.items()}
        if row["group"] == "corrected":
            metrics = {"predicted/corrected": row["predicted"]}
        metrics["predicted/se"] = found.predicted_se(row)
        metrics["replaced_subblocks"] = found.replaced(row)
        for state in STATES:
            for key, value in row[state].items():
                if key != "by_window":
                    metrics[f"{state}/{key}"] = value
        what = {key: str(row[key]) for key in ("group", "target", "method", "speedup") if row[key] is not None}
        yield _run("puzzle_validity_group", {"child": row["name"]} | what, params, seed, metrics, ("kl", "bias"), row)
    numbers = dict(_flat(summary(found)))
    yield _run(
        "puzzle_validity", {"what": "summary"}, params, seed, numbers, ("kl", "bias", "composed", "optimum", "time")
    )


def _flat(tree: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _flat(value, f"{place}/{key}".lstrip("/"))
    elif isinstance(tree, int | float):
        yield place, tree


def _run(
    rule: str, what: dict[str, str], params: Json, seed: int, metrics: Json, figures: tuple[str, ...],
    row: Json | None = None,
) -> tuple[str, RunRecord]:  # fmt: skip
    key, name = next(iter(what.items()))
    record = RunRecord(
        experiment="puzzle/validity",
        name=f"{rule}/{key}={name}",
        params={**what, **params, "seed": seed},
        tags={"snakemake.rule": rule, "device": "cpu", "seed": str(seed), **what},
        metrics={k: float(v) for k, v in metrics.items() if v is not None and v == v},
        figures=[f"{FIGURES}/{figure}.svg" for figure in figures],
        note=f"`{' '.join(row['blocks'])}`" if row else "",
    )
    return f"{rule}/{name}", record
