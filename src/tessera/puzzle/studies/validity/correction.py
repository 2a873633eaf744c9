"""Summed scores corrected by the interactions of exchanges: fits to children that were run, and the new optima."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tessera.common.files import Json
from tessera.puzzle import search
from tessera.puzzle.search import block_library, budgets, draws
from tessera.puzzle.search.block_library import Library
from tessera.puzzle.studies.validity import quadratic
from tessera.puzzle.studies.validity.params import ValidityParams
from tessera.puzzle.studies.validity.quadratic import GROUPINGS, Quadratic, Scores

#: Fewest children that are fitted.
FEWEST = 4


def corrected(
    scores: Scores, gram: np.ndarray, rows: Sequence[Mapping[str, Any]], most: float
) -> tuple[dict[str, Quadratic], Json]:
    """Return the corrected forms by name, measured and fitted, and what they predict for children that were run.

    gram (n, n) holds the measured inner products of the exchanges' effects. rows are the children, whose KL on the
    scores' own text (`scored`) is fitted if their summed score is at most `most`. The predictions hold cosines by
    grouping, and of each child all forms' values, also those of fits without the child or without its group. Raises
    ValueError if fewer than four children can be fitted.
    """
    tables = {g: np.array([quadratic.features(scores, row["blocks"], g) for row in rows]) for g in GROUPINGS}
    true = np.array([row["scored"]["kl_div"] for row in rows])
    total = next(iter(tables.values()))[:, 0]
    used = (total <= most) & (total > 0)
    if used.sum() < FEWEST:
        raise ValueError(
            f"only {used.sum()} children have a summed score <= correction.most = {most}; at least {FEWEST} are needed"
        )
    forms = {"measured": quadratic.measured(scores, gram)}
    predicted = {"sum": total, "measured": np.array([forms["measured"].predict(row["blocks"]) for row in rows])}
    cosines = {}
    for grouping, table in tables.items():
        fit = quadratic.fit(table[used], true[used])
        cosines[grouping] = dict(zip(GROUPINGS[grouping], fit.tolist(), strict=True))
        forms[grouping] = quadratic.fitted(scores, cosines[grouping], grouping)
        predicted[grouping] = total + table[:, 1:] @ fit
        for name, folds in (("one", range(len(rows))), ("group", [row["group"] for row in rows])):
            values = np.full(len(rows), np.nan)
            used_folds = [fold for fold, fitted in zip(folds, used, strict=True) if fitted]
            values[used] = quadratic.held_out(table[used], true[used], used_folds)
            predicted[f"{grouping}_without_{name}"] = values
    return forms, {
        "cosines": cosines,
        "measured_cosines": {grouping: mean_cosines(forms["measured"], scores, grouping) for grouping in GROUPINGS},
        "most": most,
        "children": [
            {"name": row["name"], "group": row["group"], "fitted": bool(fitted), "true": float(kl)}
            | {key: None if np.isnan(values[n]) else float(values[n]) for key, values in predicted.items()}
            for n, (row, fitted, kl) in enumerate(zip(rows, used, true, strict=True))
        ],
    }


def mean_cosines(form: Quadratic, scores: Scores, grouping: str) -> dict[str, float]:
    """Return the mean cosine of each kind of pair, weighted as the fit weights them."""
    root, names = quadratic.roots(scores), form.labels
    kinds = GROUPINGS[grouping]
    weight, total = dict.fromkeys(kinds, 0.0), dict.fromkeys(kinds, 0.0)
    for n, first in enumerate(names):
        for m in range(n + 1, len(names)):
            if first[:2] != names[m][:2]:
                kind = quadratic.kind(first, names[m], grouping)
                weight[kind] += root[n] * root[m]
                total[kind] += form.Q[n, m]
    return {kind: total[kind] / weight[kind] if weight[kind] else 0.0 for kind in kinds}


def optima(
    forms: Mapping[str, Quadratic], libraries: Mapping[str, Library], objective: str, params: ValidityParams
) -> list[draws.Row]:
    """Return the optimum of every form, target and speed-up, searched from the sum's optimum and its next best.

    libraries are keyed by target. A row also has what the form predicts for its own optimum and for the sum's, and the
    latter's blocks.
    """
    rows = []
    for target, library in libraries.items():
        layers = block_library.layers(library)
        for speedup in params.correction.speedups:
            budget = budgets.runtime_for_speedup(library, speedup)
            best = search.diverse(
                library,
                objective,
                1 + params.diverse.count,
                params.diverse.min_difference,
                at_most={budgets.RUNTIME: budget},
            )
            starts = [list(solution.choice.values()) for solution in best]
            for name, form in forms.items():
                blocks, _ = form.blocks(len(layers))
                costs = np.array(
                    [
                        [block_library.number(library, layer, block, budgets.RUNTIME) for block in of_layer]
                        for layer, of_layer in zip(layers, blocks, strict=True)
                    ]
                )
                choice, value = quadratic.optimise(form, costs, budget, starts)
                rows.append(
                    draws.row("corrected", name, choice, target, speedup)
                    | {"predicted": value, "predicted_before": form.predict(starts[0]), "optimum": starts[0]}
                )
    return rows
