"""Correct summed scores by the interactions of exchanges, and search for the optimum again."""

from pathlib import Path
from typing import Any

import numpy as np

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.puzzle import block_library, budgets, draws, quadratic, search
from tessera.puzzle.quadratic import KINDS, Quadratic
from tessera.puzzle.search import SearchParams
from tessera.puzzle.validity_params import ValidityParams


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
    table = np.array([quadratic.features(every, row["blocks"]) for row in rows])
    true = np.array([row["scored"]["kl_div"] for row in rows])
    used = (table[:, 0] <= settings.most) & (table[:, 0] > 0)
    if used.sum() < 4:
        raise ValueError(
            f"{used.sum()} children have a summed score up to correction.most = {settings.most}; 4 are few"
        )
    cosines = quadratic.fit(table[used], true[used])
    forms = {
        "fitted": quadratic.fitted(every, dict(zip(KINDS, cosines, strict=True))),
        "measured": quadratic.measured(every, files.read_npy(gram)),
    }
    predicted: dict[str, Any] = {
        "sum": table[:, 0],
        "measured": np.array([forms["measured"].predict(row["blocks"]) for row in rows]),
        "fitted": table[:, 0] + table[:, 1:] @ cosines,
    }
    for name, folds in (("one", range(len(rows))), ("group", [row["group"] for row in rows])):
        found = np.full(len(rows), np.nan)
        found[used] = quadratic.held_out(table[used], true[used], [f for f, u in zip(folds, used, strict=True) if u])
        predicted[f"without_{name}"] = found
    files.write_json(
        correction,
        {
            "cosines": dict(zip(KINDS, cosines.tolist(), strict=True)),
            "measured_cosines": _means(forms["measured"], every),
            "most": settings.most,
            "children": [
                {"name": row["name"], "group": row["group"], "fitted": bool(u), "true": float(t)}
                | {key: None if np.isnan(values[n]) else float(values[n]) for key, values in predicted.items()}
                for n, (row, u, t) in enumerate(zip(rows, used, true, strict=True))
            ],
        },
    )
    files.write_json(children, {"corrected": _again(params, forms, libraries)})


def _means(form: Quadratic, scores: quadratic.Scores) -> dict[str, float]:
    """Mean cosine of each kind of pair, weighed as the fit weighs them."""
    root, names = quadratic.roots(scores), form.labels
    weight, total = dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0.0)
    for n, first in enumerate(names):
        for m in range(n + 1, len(names)):
            if first[:2] != names[m][:2]:
                which = quadratic.kind(first, names[m])
                weight[which] += root[n] * root[m]
                total[which] += form.Q[n, m]
    return {which: total[which] / weight[which] if weight[which] else 0.0 for which in KINDS}


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
