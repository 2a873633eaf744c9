"""Correct summed scores by the interactions of exchanges, and search for the optimum again."""

from pathlib import Path
from typing import Any

import numpy as np

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.puzzle import search
from tessera.puzzle.search import SearchParams, block_library, budgets, draws
from tessera.puzzle.studies.validity import quadratic
from tessera.puzzle.studies.validity.params import ValidityParams
from tessera.puzzle.studies.validity.quadratic import GROUPINGS, Quadratic


class Params(Section):
    """The study, and the search whose optimum is tried."""

    validity: ValidityParams
    search: SearchParams


def main(
    params: Params,
    groups: list[Path],
    scores: list[Path],
    gram: Path,
    libraries: list[Path],
    correction: Path,
    children: Path,
) -> None:
    """Write the fit with its cross-validation, and the new optima as rows of children, {"corrected": rows}.

    groups are the measured groups of children, whose KL on the scores' own text is fitted; libraries lie one a target,
    in directories of their names.
    """
    every = {int(layer): one for path in scores for layer, one in files.read_json(path).items()}
    rows = [row for path in groups for row in files.read_json(path)]
    settings = params.validity.correction
    tables = {g: np.array([quadratic.features(every, row["blocks"], g) for row in rows]) for g in GROUPINGS}
    true = np.array([row["scored"]["kl_div"] for row in rows])
    total = next(iter(tables.values()))[:, 0]
    used = (total <= settings.most) & (total > 0)
    if used.sum() < 4:
        raise ValueError(
            f"{used.sum()} children have a summed score up to correction.most = {settings.most}; 4 are few"
        )
    forms = {"measured": quadratic.measured(every, files.read_npy(gram))}
    predicted: dict[str, Any] = {
        "sum": total,
        "measured": np.array([forms["measured"].predict(row["blocks"]) for row in rows]),
    }
    cosines = {}
    for grouping, table in tables.items():
        fit = quadratic.fit(table[used], true[used])
        cosines[grouping] = dict(zip(GROUPINGS[grouping], fit.tolist(), strict=True))
        forms[grouping] = quadratic.fitted(every, cosines[grouping], grouping)
        predicted[grouping] = total + table[:, 1:] @ fit
        for name, folds in (("one", range(len(rows))), ("group", [row["group"] for row in rows])):
            found = np.full(len(rows), np.nan)
            known = [fold for fold, u in zip(folds, used, strict=True) if u]
            found[used] = quadratic.held_out(table[used], true[used], known)
            predicted[f"{grouping}_without_{name}"] = found
    files.write_json(
        correction,
        {
            "cosines": cosines,
            "measured_cosines": {grouping: _means(forms["measured"], every, grouping) for grouping in GROUPINGS},
            "most": settings.most,
            "children": [
                {"name": row["name"], "group": row["group"], "fitted": bool(u), "true": float(t)}
                | {key: None if np.isnan(values[n]) else float(values[n]) for key, values in predicted.items()}
                for n, (row, u, t) in enumerate(zip(rows, used, true, strict=True))
            ],
        },
    )
    files.write_json(children, {"corrected": _again(params, forms, libraries)})


def _means(form: Quadratic, scores: quadratic.Scores, grouping: str) -> dict[str, float]:
    """Mean cosine of each kind of pair, weighed as the fit weighs them."""
    root, names = quadratic.roots(scores), form.labels
    kinds = GROUPINGS[grouping]
    weight, total = dict.fromkeys(kinds, 0.0), dict.fromkeys(kinds, 0.0)
    for n, first in enumerate(names):
        for m in range(n + 1, len(names)):
            if first[:2] != names[m][:2]:
                which = quadratic.kind(first, names[m], grouping)
                weight[which] += root[n] * root[m]
                total[which] += form.Q[n, m]
    return {which: total[which] / weight[which] if weight[which] else 0.0 for which in kinds}


def _again(params: Params, forms: dict[str, Quadratic], libraries: list[Path]) -> list[draws.Row]:
    """The optimum of every form, target and speed-up, searched from the sum's optimum and its next best."""
    rows = []
    for path in libraries:
        target, library = path.parent.name, block_library.read(path)
        layers = block_library.layers(library)
        for speedup in params.validity.correction.speedups:
            budget = budgets.runtime_for_speedup(library, speedup)
            limits = {budgets.RUNTIME: budget}
            starts = search.diverse(
                library, params.search.objective, 1 + params.validity.diverse.count,
                params.validity.diverse.min_difference, at_most=limits,
            )  # fmt: skip
            for name, form in forms.items():
                blocks, _ = form.blocks(len(layers))
                costs = np.array(
                    [
                        [block_library.number(library, layer, block, budgets.RUNTIME) for block in own]
                        for layer, own in zip(layers, blocks, strict=True)
                    ]
                )
                choice, value = quadratic.optimise(form, costs, budget, [list(s.choice.values()) for s in starts])
                before = form.predict(list(starts[0].choice.values()))
                rows.append(
                    draws.row("corrected", name, choice, target, speedup)
                    | {"predicted": value, "predicted_before": before}
                    | {"optimum": list(starts[0].choice.values())}
                )
    return rows


if __name__ == "__main__":
    stage.run(main)
