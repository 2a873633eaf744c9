"""Tables of coupled distillation."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tessera.common import association, randomness
from tessera.common.files import Json
from tessera.common.intervals import known, plus_minus
from tessera.common.markdown import table
from tessera.puzzle.scores.association import paired
from tessera.puzzle.studies.coupled.pairs import is_coupled, plain
from tessera.puzzle.studies.coupled.report.results import METHODS, PHASES, STATES, Results, as_kept

#: Draws of each bootstrap interval.
DRAWS = 2000


def pairs(results: Results) -> pd.DataFrame:
    """Every pair that was trained together, one per row: held-out losses of the block after each phase, and its score
    as one block, with the sum of its subblocks' scores.
    """
    return results.pairs


def children(results: Results) -> pd.DataFrame:
    """The first search's child, the same choice of coupled blocks, and the second search's child, at the same budgets,
    one per row: the KL that was promised, and KL to the parent before and after equal healing, compared with that of
    the decoupled child.

    STATE_ratio is the quotient of the two, STATE_difference their difference, window by window, with its standard error
    by document.
    """
    reference = {(row["target"], row["speedup"]): row for row in results.children if row["method"] == "decoupled"}
    names = ("target", "speedup", "method", "promised", "promised_by_sum", "runtime_ms", "budget_ms")
    rows = []
    for child in results.children:
        other = reference[child["target"], child["speedup"]]
        row: Json = {name: child[name] for name in names}
        row["coupled_blocks"] = sum(map(is_coupled, child["blocks"]))
        row["other_blocks"] = sum(
            plain(block) != theirs for block, theirs in zip(child["blocks"], other["blocks"], strict=True)
        )
        for state in STATES:
            row |= {f"{state}_{key}": child[state][key] for key in ("kl_div", "kl_div_se", "lm_loss", "top1")}
            row[f"{state}_ratio"] = child[state]["kl_div"] / other[state]["kl_div"]
            against = paired(child[state]["by_window"], other[state]["by_window"])
            row |= {f"{state}_difference": against["difference"], f"{state}_difference_se": known(against["se"])}
        rows.append(row | {"blocks": " / ".join(child["blocks"])})
    return pd.DataFrame(rows)


def numbers(results: Results) -> Json:
    """Losses and scores of all pairs, by attention and by kind, and the children's KL by method.

    Quotients of losses, and of KL of the children, are geometric means. They have value, low and high: over layers for
    pairs, over targets and speed-ups for children.
    """
    kinds = results.pairs.kind
    frame = children(results)
    return {
        "pairs": {"all": _losses(results.pairs)} | {kind: _losses(of) for kind, of in results.pairs.groupby(kinds)},
        "attentions": {name: _losses(of) for name, of in results.pairs.groupby(kinds.str.partition(",")[0])},
        "children": {
            method: {
                state: _interval(association.geometric_mean, np.log(rows[f"{state}_ratio"]), np.arange(len(rows)))
                for state in STATES
            }
            for method, rows in ((method, frame[frame.method == method]) for method in METHODS)
        },
    }


def _losses(pairs: pd.DataFrame) -> Json:
    return {
        "count": len(pairs),
        **{phase: float(losses.mean()) for phase, losses in as_kept(pairs).items()},
        **{f"kept_{phase}": int((pairs.kept == phase).sum()) for phase in PHASES},
        "loss_ratio": _interval(association.geometric_mean, np.log(pairs.loss / pairs.decoupled), pairs.layer),
        **{f"{key}_kl_div": float(pairs[f"{key}_kl_div"].mean()) for key in ("sum", "decoupled", "coupled")},
        "kl_div_ratio": _interval(_quotient, pairs[["coupled_kl_div", "decoupled_kl_div"]], pairs.layer),
        "searched": int(pairs.searched.sum()),
    }


def _interval(statistic: Callable[[np.ndarray], float], rows: ArrayLike, groups: ArrayLike) -> Json:
    return association.clustered(statistic, rows, groups, DRAWS, randomness.generator(0, "puzzle_coupled", "interval"))


def _quotient(rows: np.ndarray) -> float:
    return float(rows[:, 0].sum() / rows[:, 1].sum())


def markdown(results: Results) -> str:
    """The gain if the attention and FFN variants of a block that a first search chose learn to imitate the parent's
    block together, and a second search may choose such blocks: a short form of the paper's coupled blockwise local
    distillation.
    """
    lines = [
        *_pairs(numbers(results)["pairs"]),
        "Means over pairs. Loss: normalised error of the block's output on held-out text; a phase that does not lower"
        " it is undone. KL: the parent with only this block exchanged, nats per token; summed: of its two subblocks."
        " Taken: pairs whose coupled block is in a child of the second search.",
        "",
        *_children(results),
        "Promised: sum of scores, those of whole blocks where they were measured. KL on test text of all domains, ±"
        " standard errors by document, of the differences window by window.",
    ]
    return "\n".join(lines) + "\n"


def _pairs(by_kind: Json) -> list[str]:
    header = ("pair", "pairs", "loss decoupled", "refitted", "trained", "KL summed", "KL decoupled", "KL coupled",
              "taken")  # fmt: skip
    rows = []
    for name in [*(name for name in by_kind if name != "all"), "all"]:
        pair = by_kind[name]
        cells = [name, str(pair["count"]), *(f"{pair[phase]:.5f}" for phase in PHASES)]
        cells += [f"{pair[f'{key}_kl_div']:.4f}" for key in ("sum", "decoupled", "coupled")]
        rows.append([*cells, str(pair["searched"])])
    return table(header, rows)


def _children(results: Results) -> list[str]:
    header = ("target", "speed-up", "child", "coupled blocks", "other choices", "promised", "KL before healing",
              "less decoupled's", "KL healed", "less decoupled's")  # fmt: skip
    rows = []
    for row in children(results).to_dict("records"):
        cells = [row["target"], f"{row['speedup']:g}", METHODS[row["method"]]]
        cells += [str(row["coupled_blocks"]), str(row["other_blocks"]), f"{row['promised']:.3f}"]
        for state in STATES:
            cells.append(plus_minus(row[f"{state}_kl_div"], row[f"{state}_kl_div_se"]))
            name = f"{state}_difference"
            itself = row["method"] == "decoupled"
            cells.append("" if itself else plus_minus(row[name], row[f"{name}_se"], "+.3f"))
        rows.append(cells)
    return table(header, rows, 3)
