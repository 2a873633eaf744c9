"""Table of the searches on true KL."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from tessera.common.files import Json
from tessera.common.intervals import known, plus_minus
from tessera.common.markdown import table
from tessera.puzzle.scores.association import paired
from tessera.puzzle.studies.evolution.report.results import NAMES, PROGRAM, Results, best_so_far


def searches(results: Results) -> pd.DataFrame:
    """Every search and seed, one per row: KL of its best child on the text of the search and on test text, its summed
    scores, the layers in which it differs from the program's, and the children that were run until one was nearer to
    the parent.

    difference is the KL on test text less that of the program's child, with its paired standard error by document and
    the lower end of its 95 % interval; needed is null if no child was nearer than the program's.
    """
    program = results.program
    rows = []
    for search in results.searches:
        best, test = search["best"], search["best"]["test"]
        reached = np.flatnonzero(best_so_far(search) < program["kl_div"])
        against = paired(test["by_window"], program["test"]["by_window"])
        row: Json = {"search": search["search"], "seed": search["replicate"], "children": len(search["children"])}
        row |= {"kl_div": best["kl_div"], "kl_div_se": known(best["kl_div_se"])}
        row |= {"test_kl_div": test["kl_div"], "test_kl_div_se": known(test["kl_div_se"])}
        row |= {"difference": against["difference"], "difference_se": known(against["se"])}
        row["difference_low"] = known(against["difference"]) - 1.96 * known(against["se"])
        row |= {"predicted": best["predicted"], "budget_used": best["runtime_ms"] / search["budget_ms"]}
        row["unlike"] = sum(a != b for a, b in zip(best["blocks"], program["blocks"], strict=True))
        row["needed"] = int(reached[0]) + 1 if reached.size else None
        rows.append(row)
    return pd.DataFrame(rows).astype({"needed": "Int64"})


def metrics(results: Results) -> Json:
    """Numbers by search and seed, how many searches clearly differ from the program, and what the scores cost."""
    frame = searches(results)
    numbers: Json = {"scores_children": results.searches[0]["scores_children"], "all": {}}
    for row in frame.astype(object).to_dict("records"):
        values = {key: None if pd.isna(value) else value for key, value in row.items() if key not in ("search", "seed")}
        numbers.setdefault(row["search"], {})[str(row["seed"])] = values
    for search, rows in frame[frame["search"] != PROGRAM].groupby("search", sort=False):
        numbers["all"][str(search)] = _clear(rows)
    return numbers


def _clear(rows: pd.DataFrame) -> dict[str, int]:
    """How many of one search's runs are nearer to the parent than the program's child, or further, at 95 %."""
    clear = rows["difference"] / rows["difference_se"].where(rows["difference_se"] > 0)
    return {
        "runs": len(rows),
        "clearly_nearer": int((clear < -1.96).sum()),
        "clearly_further": int((clear > 1.96).sum()),
    }


def markdown(results: Results) -> str:
    """The program, which chooses by the sum of scores and runs no child, compared with searches within the same budget
    that run every child that they consider: random, evolutionary from random children, and evolutionary from the
    program's optimum.

    Each search's best child is also measured on test text, which the search has not seen; the difference to the
    program's is paired by document.
    """
    header = ("search", "seed", "children run", "best KL, its text", "on test text", "less the program's, test",
              "sum of scores", "layers unlike the program's",
              "children until nearer than the program's")  # fmt: skip
    rows = []
    for row in searches(results).astype(object).to_dict("records"):
        program = row["search"] == PROGRAM
        cells = [NAMES[row["search"]], "" if program else str(row["seed"]), str(row["children"])]
        cells += [plus_minus(row[key], row[f"{key}_se"]) for key in ("kl_div", "test_kl_div")]
        cells.append("" if program else plus_minus(row["difference"], row["difference_se"], "+.3f"))
        cells += [f"{row['predicted']:.3f}", str(row["unlike"])]
        cells.append("" if program else "none was" if pd.isna(row["needed"]) else str(row["needed"]))
        rows.append(cells)
    lines = [
        *table(header, rows),
        "KL in nats per token, ± standard errors by document; the difference is paired. The program ran no child: the "
        "one in its row is its optimum, run only to measure its KL. Its scores cost as much as "
        f"{results.searches[0]['scores_children']:.0f} children here, once for all budgets and targets.",
        "",
        *(f"* {sentence}" for sentence in _sentences(metrics(results)["all"])),
    ]
    return "\n".join(lines) + "\n"


def _sentences(clear: Json) -> Iterator[str]:
    for search, counts in clear.items():
        yield (
            f"{NAMES[search]}, {counts['runs']} runs: on test text the best child is clearly nearer to the parent than "
            f"the program's in {counts['clearly_nearer']}, clearly further away in {counts['clearly_further']} "
            "(95 %, by document)."
        )
