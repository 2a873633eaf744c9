"""The numbers of the validity study: agreement of predictions with children that were run."""

import math
from functools import cache
from functools import partial as partial_of
from typing import Any

import numpy as np

from tessera.common.association import geometric_mean, interval, of, partial, ranks, spearman
from tessera.common.files import Json
from tessera.common.intervals import known
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.scores.association import bias
from tessera.puzzle.studies.validity import quadratic
from tessera.puzzle.studies.validity.report.results import (
    PHASES,
    PREDICTORS,
    STATES,
    Results,
    composed_pairs,
    composed_sum,
    optima,
    predictions,
    sets,
)


@cache
def numbers(results: Results) -> Json:
    """Return all numbers of the study, with 95 % intervals by the bootstrap over children."""
    return {
        "children": len(results.children),
        "ranks": _ranks(results),
        "bias": _biases(results),
        "composed": _composed(results),
        "correction": {key: results.correction[key] for key in ("cosines", "measured_cosines", "most")}
        | {"cosine_intervals": _cosines(results)},
        "optimum": _optimum(results),
        "time": _time(results),
    }


def _ranks(results: Results) -> Json:
    """By set, prediction and state: rank correlations with KL, and the partial one given how many were replaced.

    The set's `replaced` has the rank correlation of KL with the number of replaced subblocks alone, by state.
    """
    draws, by_set = results.params.bootstrap, {}
    for name, rows in sets(results).items():
        counted = {state: np.array(_counted(results, rows, state)) for state in STATES}
        by_set[name] = {
            "replaced": {
                state: interval(of(spearman, *values), len(rows), draws, results.generator("replaced", name, state))
                for state, values in counted.items()
            }
        }
        for predictor in PREDICTORS:
            values = predictions(results, predictor)
            foreseen = [row for row in rows if values[row["name"]] is not None]
            if len(foreseen) < 3:
                continue
            by_set[name][predictor] = {}
            predicted: list[Any] = [values[row["name"]] for row in foreseen]
            for state in STATES:
                replaced, true = _counted(results, foreseen, state)
                place = (name, predictor, state)
                ranked: Json = ranks(predicted, true, draws, results.generator("ranks", *place))
                ranked["partial"] = partial(predicted, true, replaced, draws, results.generator("partial", *place))
                by_set[name][predictor][state] = ranked
    return by_set


def _counted(results: Results, rows: list[Json], state: str) -> tuple[list[int], list[float]]:
    """Numbers of replaced subblocks, and KL in a state, of some children."""
    return [results.replaced(row) for row in rows], [row[state]["kl_div"] for row in rows]


def _biases(results: Results) -> Json:
    """By set, prediction and state: `bias`; and error_to_sum, its error over that of the plain sum, same children."""
    draws = results.params.bootstrap
    by_set: Json = {}
    sums = predictions(results, "sum")
    for name, rows in sets(results).items():
        by_set[name] = {}
        for predictor in PREDICTORS:
            values = predictions(results, predictor)
            positive = [row for row in rows if (values[row["name"]] or 0) > 0]
            if len(positive) < 3:
                continue
            by_set[name][predictor] = {}
            predicted = [values[row["name"]] for row in positive]
            for state in ("scored", "assembled"):
                replaced, true = _counted(results, positive, state)
                place = (name, predictor, state)
                errors = bias(predicted, true, replaced, draws, results.generator("bias", *place))  # type: ignore[arg-type]
                if predictor != "sum":
                    squares = np.log(np.array([predicted, [sums[row["name"]] for row in positive]], float) / true) ** 2
                    errors["error_to_sum"] = interval(
                        of(_error_to_sum, *squares), len(positive), draws, results.generator("error_to_sum", *place)
                    )
                by_set[name][predictor][state] = errors
    return by_set


def _error_to_sum(squares: np.ndarray, of_sum: np.ndarray) -> float:
    """Root mean square of errors over that of the sum's, both given as squares."""
    return math.sqrt(squares.mean() / of_sum.mean())


def _composed(results: Results) -> Json:
    """Scores of whole blocks over sums of their subblocks', and how both predict the children that have them."""
    pairs, draws = composed_pairs(results), results.params.bootstrap
    if len(pairs) < 3:
        return {"pairs": len(pairs)}
    logs = np.array([math.log(pair["composed"] / pair["sum"]) for pair in pairs])
    composed: Json = {
        "pairs": len(pairs),
        "ratio": interval(
            lambda chosen: math.exp(logs[chosen].mean()), len(logs), draws, results.generator("composed")
        ),
    }
    predicted = [(value, row) for row in results.of() if (value := composed_sum(results, row))]
    if len(predicted) < 3:
        return composed
    rows = [row for _, row in predicted]
    replaced, true = _counted(results, rows, "scored")
    for name, values in (
        ("by_composed", [value for value, _ in predicted]),
        ("by_subblocks", [results.predicted(row) for row in rows]),
    ):
        composed[name] = {
            "ranks": ranks(values, true, draws, results.generator("composed", name)),
            "bias": bias(values, true, replaced, draws, results.generator("composed_bias", name)),
        }
    return composed


def _cosines(results: Results) -> Json:
    """The fitted cosines with their intervals, by grouping."""
    fitted = {child["name"] for child in results.correction["children"] if child["fitted"]}
    rows = [row for row in results.of() if row["name"] in fitted]
    true = np.array([row["scored"]["kl_div"] for row in rows])

    def cosine(table: np.ndarray, place: int, chosen: np.ndarray) -> float:
        return float(quadratic.fit(table[chosen], true[chosen])[place])

    by_grouping: Json = {}
    for grouping, kinds in quadratic.GROUPINGS.items():
        table = np.array([quadratic.features(results.scores, row["blocks"], grouping) for row in rows])
        by_grouping[grouping] = {
            kind: interval(
                partial_of(cosine, table, place),
                len(rows),
                results.params.bootstrap,
                results.generator("cosine", grouping, kind),
            )
            for place, kind in enumerate(kinds)
        }
    return by_grouping


def _optimum(results: Results) -> Json:
    """By form and state: KL of the corrected optima over that of the sum's, and how many are better or worse."""
    rows = optima(results)
    return {
        form: {
            state: _against_sum(results, [row[state] for row in rows if row["form"] == form], form, state)
            for state in STATES
        }
        for form in dict.fromkeys(row["form"] for row in rows)
    }


def _against_sum(results: Results, rows: list[Json], form: str, state: str) -> Json:
    logs = np.array([math.log(row["corrected"] / row["optimum"]) for row in rows])
    return {
        "ratio": interval(
            of(geometric_mean, logs), len(rows), results.params.bootstrap, results.generator("optimum", form, state)
        ),
        "better": sum(row["difference"] < 0 for row in rows),
        "clearly_better": sum(row["difference"] < -1.96 * known(row["se"]) for row in rows),
        "clearly_worse": sum(row["difference"] > 1.96 * known(row["se"]) for row in rows),
        "of": len(rows),
    }


def _log_parameters(results: Results, names: list[str]) -> np.ndarray:
    """Logarithm of the parent's parameters over a child's: its speed-up, if time went by parameters alone."""
    count = {name: results.time["children"][name]["predicted"]["parameters"] for name in (PARENT, *names)}
    return np.log([count[PARENT] / count[name] for name in names])


def _time(results: Results) -> Json:
    """By phase: errors of predicted speed-ups, next to those of two trivial predictors, and ranks."""
    children = {name: child for name, child in results.time["children"].items() if name != PARENT}
    errors: Json = {"children": len(children), "target": results.time["target"]}
    for phase in PHASES:
        pairs = [
            (child["predicted_speedup"][phase], child["speedup"][phase])
            for child in children.values()
            if phase in child["speedup"]
        ]
        if len(pairs) < 3:
            continue
        predicted, measured = ([pair[side] for pair in pairs] for side in (0, 1))
        logs, log_measured = [math.log(p / m) for p, m in pairs], np.log(measured)
        errors[phase] = {
            "error": math.sqrt(np.mean(np.square(logs))),
            "ratio": math.exp(np.mean(logs)),
            "largest": math.exp(max(logs, key=abs)),
            "error_by_parameters": math.sqrt(
                np.mean(np.square(_log_parameters(results, list(children)) - log_measured))
            ),
            "error_of_constant": float(np.std(log_measured)),
            "ranks": ranks(predicted, measured, results.params.bootstrap, results.generator("time", phase)),
        }
    return errors
