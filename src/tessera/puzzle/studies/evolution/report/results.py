"""Table, figure and runs of the evolutionary search on true KL."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tessera.common import files, plots
from tessera.common.files import Json
from tessera.common.intervals import known, plus_minus
from tessera.common.run_files import RunRecord
from tessera.puzzle.scores.association import paired

PROGRAM = "program"
NAMES = {
    PROGRAM: "program, by scores",
    "random": "random search",
    "evolution": "evolution",
    "warm": "evolution from the program's",
}
COLOURS = {PROGRAM: plots.BLACK, "random": plots.GREY, "evolution": plots.ORANGE, "warm": plots.BLUE}
FIGURE = "reports/figures/puzzle_evolution/search.svg"


def read(paths: Sequence[Path]) -> list[Json]:
    """All searches, in the order of their names above."""
    rows = [files.read_json(path) for path in paths]
    return sorted(rows, key=lambda row: ([*NAMES].index(row["search"]), row["replicate"]))


def best_so_far(row: Json) -> np.ndarray:
    """The least KL after each child, nats a token, of one search (children,)."""
    return np.minimum.accumulate([child["kl_div"] for child in row["children"]])


def table(rows: Sequence[Json]) -> pd.DataFrame:
    """One row a search and seed: its best child on the text of the search and on test text.

    difference is the KL on test text less that of the program's child, with its paired standard error by document and
    the lower end of its 95 % interval;
    needed counts the children that were run until one was nearer to the parent than the program's, null where none was.
    """
    (program,) = (row["best"] for row in rows if row["search"] == PROGRAM)
    made = []
    for row in rows:
        best, test = row["best"], row["best"]["test"]
        reached = np.flatnonzero(best_so_far(row) < program["kl_div"])
        series, reference = test["by_window"], program["test"]["by_window"]
        against = paired(series["kl_div"], reference["kl_div"], series["document"])
        one: Json = {"search": row["search"], "seed": row["replicate"], "children": len(row["children"])}
        one |= {"kl_div": best["kl_div"], "kl_div_se": known(best["kl_div_se"])}
        one |= {"test_kl_div": test["kl_div"], "test_kl_div_se": known(test["kl_div_se"])}
        one |= {"difference": against["difference"], "difference_se": known(against["se"])}
        one["difference_low"] = known(against["difference"]) - 1.96 * known(against["se"])
        one |= {"predicted": best["predicted"], "budget_used": best["runtime_ms"] / row["budget_ms"]}
        one["unlike"] = sum(a != b for a, b in zip(best["blocks"], program["blocks"], strict=True))
        one["needed"] = int(reached[0]) + 1 if reached.size else None
        made.append(one)
    return pd.DataFrame(made).astype({"needed": "Int64"})


def metrics(rows: Sequence[Json]) -> Json:
    """The numbers by search and seed, how many are clear of the program's, and what scores cost in children."""
    found = table(rows)
    numbers: Json = {"scores_children": rows[0]["scores_children"], "all": {}}
    for one in found.astype(object).to_dict("records"):
        values = {k: None if pd.isna(v) else v for k, v in one.items() if k not in ("search", "seed")}
        numbers.setdefault(one["search"], {})[str(one["seed"])] = values
    for search, own in found[found["search"] != PROGRAM].groupby("search", sort=False):
        numbers["all"][str(search)] = _clear(own)
    return numbers


def _clear(own: pd.DataFrame) -> dict[str, int]:
    """How many of one search's runs are nearer to the parent than the program's child, or further, at 95 %."""
    clear = own["difference"] / own["difference_se"].where(own["difference_se"] > 0)
    return {
        "runs": len(own),
        "clearly_nearer": int((clear < -1.96).sum()),
        "clearly_further": int((clear > 1.96).sum()),
    }


def markdown(rows: Sequence[Json]) -> str:
    """The searches in one table, and what it says."""
    lines = [
        "| search | seed | children run | best KL, its text | on test text | less the program's, test | sum of scores "
        "| layers unlike the program's | children until nearer than the program's |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    found = table(rows)
    for one in found.astype(object).to_dict("records"):
        own = one["search"] == PROGRAM
        cells = [NAMES[one["search"]], "" if own else str(one["seed"]), str(one["children"])]
        cells += [plus_minus(one[key], one[f"{key}_se"]) for key in ("kl_div", "test_kl_div")]
        cells.append("" if own else plus_minus(one["difference"], one["difference_se"], "+.3f"))
        cells += [f"{one['predicted']:.3f}", str(one["unlike"])]
        cells.append("" if own else "none was" if pd.isna(one["needed"]) else str(one["needed"]))
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "KL in nats a token, ± standard errors by document; the difference is paired. The program ran no child: that "
        "of its row is its optimum, run to tell its KL. Its scores cost as much as "
        f"{rows[0]['scores_children']:.0f} children here, once for all budgets and targets.",
        "",
    ]
    return "\n".join([*lines, *(f"* {one}" for one in _words(metrics(rows)["all"]))]) + "\n"


def _words(clear: Json) -> Iterator[str]:
    for search, one in clear.items():
        yield (
            f"{NAMES[search]}, {one['runs']} runs: on test text the best child is clearly nearer to the parent than "
            f"the program's in {one['clearly_nearer']}, clearly further off in {one['clearly_further']} "
            "(95 %, by document)."
        )


def figure(rows: Sequence[Json]) -> Figure:
    """Least KL against the children that were run; and the best child of each search on test text."""
    made, axes = plots.grid(1, 2, 3.4, width_ratios=(1.6, 1))
    left, right = axes[0]
    found = table(rows)
    for row in rows:
        best = best_so_far(row)
        if row["search"] == PROGRAM:
            left.axhline(best[0], color=COLOURS[PROGRAM], lw=1.2, ls="--", label=NAMES[PROGRAM])
            continue
        label = NAMES[row["search"]] if row["replicate"] == 0 else None
        left.step(np.arange(1, len(best) + 1), best, where="post", color=COLOURS[row["search"]], label=label)
    plots.log_scale(left.yaxis)
    left.set(xlabel="children run", ylabel="least KL so far, nats a token, text of the search")
    made.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    names = list(dict.fromkeys(found["search"]))
    for n, name in enumerate(names):
        own = found[found["search"] == name]
        x = n + 0.3 * ((np.arange(len(own)) + 0.5) / len(own) - 0.5)
        right.errorbar(x, own["test_kl_div"], 1.96 * own["test_kl_div_se"], fmt="o", lw=1.2, color=COLOURS[name])
    right.axhline(found["test_kl_div"].iloc[0], color=COLOURS[PROGRAM], lw=0.8, ls="--")
    plots.log_scale(right.yaxis)
    right.set_xticks(range(len(names)), [NAMES[name].replace(" from", "\nfrom").replace(", ", ",\n") for name in names])
    right.tick_params(axis="x", labelsize=7)
    right.grid(axis="x", visible=False)
    right.set_ylabel("KL on test text, ± 95 % by document")
    return made


def runs(rows: Sequence[Json], params: Json, seed: int) -> Iterator[tuple[str, RunRecord]]:
    """Yield RULE/NAME, where the run's file belongs, and the run of each search and seed."""
    numbers = metrics(rows)
    for row in rows:
        what = {"search": row["search"], "replicate": str(row["replicate"])}
        pairs = [f"{key}={value}" for key, value in what.items()]
        values = numbers[row["search"]][what["replicate"]]
        record = RunRecord(
            experiment="puzzle/evolution",
            name="/".join(["puzzle_evolution_search", *pairs]),
            params={**what, **params, "seed": seed},
            tags={"snakemake.rule": "puzzle_evolution_search", "device": "cpu", "seed": str(seed), **what},
            metrics={key: float(value) for key, value in values.items() if value is not None},
            history={"best_kl_div": [(n, float(kl)) for n, kl in enumerate(best_so_far(row), 1)]},
            figures=[FIGURE],
            note=f"`{' '.join(row['best']['blocks'])}`",
        )
        yield f"puzzle_evolution_search/{'-'.join(pairs)}", record
