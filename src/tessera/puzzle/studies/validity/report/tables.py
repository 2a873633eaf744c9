"""Tables of the validity study."""

import pandas as pd

from tessera.common.files import Json
from tessera.common.markdown import table
from tessera.puzzle.studies.validity.report.numbers import numbers
from tessera.puzzle.studies.validity.report.results import (
    PHASES,
    PREDICTORS,
    STATE_NAMES,
    STATES,
    Results,
    composed_pairs,
    optima,
    predictions,
)

SET_NAMES = {
    "all": "all children",
    "fitted": "small sums",
    "searched": "the search's children",
    "other": "baselines and random",
}


def children(results: Results) -> pd.DataFrame:
    """Children that were run, one per row: the KL that the sum of scores and the corrected predictions gave for each,
    and its measured KL on the scores' own text and on test text, as assembled and after a fixed short healing.
    """
    forms = {name: predictions(results, name) for name in PREDICTORS}
    rows = []
    for child in results.children:
        row = {key: child[key] for key in ("name", "group", "target", "method", "speedup")}
        row |= {"replaced_subblocks": results.replaced(child), "predicted_se": results.predicted_se(child)}
        row |= {f"predicted_{name}": values[child["name"]] for name, values in forms.items()}
        for state in STATES:
            row |= {f"{state}_{key}": child[state][key] for key in ("kl_div", "kl_div_se", "lm_loss", "top1")}
        rows.append(row | {"blocks": " ".join(child["blocks"])})
    return pd.DataFrame(rows)


def composed(results: Results) -> pd.DataFrame:
    """Pairs of subblocks that were scored as one block, one per row, with the sum of the two subblocks' scores."""
    return pd.DataFrame(composed_pairs(results))


def optimum(results: Results) -> pd.DataFrame:
    """Optima of the corrected objectives, one per row, compared with the plain sum's optimum at the same budget."""
    rows = []
    for best in optima(results):
        row = {key: value for key, value in best.items() if key not in STATES}
        rows.append(row | {f"{state}_{key}": value for state in STATES for key, value in best[state].items()})
    return pd.DataFrame(rows)


def time(results: Results) -> pd.DataFrame:
    """Predicted and measured times of the children that served the workload, one per row, the parent first.

    It has no rows if no cost target is measured.
    """
    rows = []
    for name, child in results.time["children"].items():
        row: Json = {"name": name, "group": child["group"]}
        row |= {f"predicted_{key}": value for key, value in child["predicted"].items() if key.endswith("_ms")}
        row |= {f"measured_{key}": value for key, value in child["measured"].items() if "_ms" in key}
        row |= {f"speedup_{key}": value for key, value in child["speedup"].items()}
        rows.append(row | {f"predicted_speedup_{key}": value for key, value in child["predicted_speedup"].items()})
    return pd.DataFrame(rows, columns=None if rows else ["name", "group"])


def markdown(results: Results) -> str:
    """The validity study in numbers: rank correlations of predicted and true KL, their bias, what a correction for
    interactions changes, and predicted against measured time.

    Intervals are 95 %, by the bootstrap over children.
    """
    summary = numbers(results)
    lines = [
        f"{summary['children']} children; 95 % intervals by the bootstrap over children. Count: Spearman's correlation "
        "of KL with the number of replaced subblocks alone. Given it: the partial correlation of the prediction.",
        "",
        *_predictions(summary),
        "Error is the root mean square of log(true / predicted). "
        f"Small sums are those up to {summary['correction']['most']:g} nats.",
        "",
        *_cosines(summary),
        "",
        *_optima(summary),
        *_times(summary),
    ]
    if "ratio" in summary["composed"]:
        lines += ["", f"Score of a block over the sum of its two subblocks' ({summary['composed']['pairs']} pairs): "
                  f"{_interval(summary['composed']['ratio'])}."]  # fmt: skip
    return "\n".join(lines) + "\n"


def _interval(number: Json, digits: int = 2) -> str:
    if number["value"] is None:
        return "-"
    ends = "" if number["low"] is None else f" [{number['low']:.{digits}f}, {number['high']:.{digits}f}]"
    return f"{number['value']:.{digits}f}{ends}"


def _predictions(summary: Json) -> list[str]:
    header = ("children", "prediction", "KL measured", "Spearman", "count", "given it", "Kendall", "true / predicted",
              "error")  # fmt: skip
    rows = []
    for name, predictors in summary["ranks"].items():
        for predictor in (predictor for predictor in PREDICTORS if predictor in predictors):
            for state, ranks in predictors[predictor].items():
                bias = summary["bias"][name].get(predictor, {}).get(state)
                rows.append(
                    (
                        f"{SET_NAMES[name]} ({ranks['children']})",
                        PREDICTORS[predictor],
                        STATE_NAMES[state],
                        _interval(ranks["spearman"]),
                        _interval(predictors["replaced"][state]),
                        _interval(ranks["partial"]),
                        _interval(ranks["kendall"]),
                        *((_interval(bias["ratio"]), _interval(bias["error"])) if bias else ("", "")),
                    )
                )
    return table(header, rows, len(header))


def _cosines(summary: Json) -> list[str]:
    correction = summary["correction"]
    rows = [
        (
            grouping,
            kind.replace("_", " "),
            _interval(fitted, 3),
            f"{correction['measured_cosines'][grouping][kind]:.3f}",
        )
        for grouping, kinds in correction["cosine_intervals"].items()
        for kind, fitted in kinds.items()
    ]
    return table(("grouping", "pair", "cosine, fitted", "measured in the logits"), rows, 4)


def _optima(summary: Json) -> list[str]:
    header = ("optimum of", "KL measured", "KL / KL of the sum's optimum", "better", "clearly better", "clearly worse")
    rows = [
        (
            f"the sum with {'measured interactions' if form == 'measured' else f'interactions fitted by {form}'}",
            STATE_NAMES[state],
            _interval(optimum["ratio"], 3),
            f"{optimum['better']} of {optimum['of']}",
            str(optimum["clearly_better"]),
            str(optimum["clearly_worse"]),
        )
        for form, states in summary["optimum"].items()
        for state, optimum in states.items()
    ]
    return table(header, rows, 2)


def _times(summary: Json) -> list[str]:
    if summary["time"]["target"] is None:
        return ["No cost target is measured, so no times were predicted for this machine, and no child was timed."]
    header = ("time", "children", "predicted / measured speed-up", "error", "by parameters", "constant", "largest",
              "Spearman")  # fmt: skip
    keys = ("ratio", "error", "error_by_parameters", "error_of_constant", "largest")
    rows = [
        (
            phase,
            str(summary["time"]["children"]),
            *(f"{errors[key]:.3f}" for key in keys),
            _interval(errors["ranks"]["spearman"]),
        )
        for phase in PHASES
        if (errors := summary["time"].get(phase))
    ]
    return [
        *table(header, rows),
        "By parameters, constant: errors when the speed-up is predicted by the number of parameters, or by one value "
        "for all.",
    ]
