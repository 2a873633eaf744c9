"""Results, tables and runs of coupled distillation."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tessera.common import association, files, randomness
from tessera.common.files import Json
from tessera.common.intervals import known, plus_minus
from tessera.common.run_files import RunRecord
from tessera.puzzle.models.space import PARENT, Space, decompose
from tessera.puzzle.scores.replace_one import standard_error
from tessera.puzzle.studies.coupled.pairs import MARK

#: Draws of each bootstrap interval.
DRAWS = 2000
PHASES = ("decoupled", "refitted", "trained")
METHODS = {
    "decoupled": "the first search's, of decoupled blocks",
    "coupled": "the same choice, of coupled blocks",
    "searched": "the second search's",
}
STATES = {"assembled": "before healing", "healed": "healed"}
ATTENTIONS = {"gqa": "fewer KV heads", "linear": "linear attention", "no_op": "no attention"}
FFNS = {"gated": "narrower FFN", "linear": "linear FFN", "no_op": "no FFN"}
FIGURE = "reports/figures/puzzle_coupled/coupled.svg"


@dataclass(frozen=True)
class Results:
    """The pairs, one row each in the order of layers, and the children of all targets and speed-ups."""

    pairs: pd.DataFrame
    children: list[Json]


def kind(pair: str, space: Space) -> str:
    """What a pair is of, in words."""
    attention, ffn = decompose(pair)
    second = "the parent's FFN" if ffn == PARENT else FFNS[space.ffn[ffn].kind]
    return f"{ATTENTIONS[space.attention[attention].kind]}, {second}"


def read(
    library: Sequence[Path], scores: Sequence[Path], first: Path, children: Sequence[Path], loss: str, space: Space
) -> Results:
    """Results from the coupled library's directories, its scores, the first search's block library and the children."""
    scored = {layer: blocks for path in scores for layer, blocks in files.read_json(path).items()}
    rows = [row for path in children for row in files.read_json(path)]
    chosen = {(i, block) for row in rows if row["method"] == "searched" for i, block in enumerate(row["blocks"])}
    sums, made = files.read_json(first), []
    for path in sorted(
        (path for part in library for path in part.glob("layer_*.json")), key=lambda path: int(path.stem[6:])
    ):
        layer = path.stem.removeprefix("layer_")
        for pair, record in files.read_json(path).items():
            one: Json = {"layer": int(layer), "pair": pair, "kind": kind(pair, space), "kept": record["kept"]}
            one |= {phase: record[phase][loss] if phase in record else None for phase in PHASES}
            one["loss"] = record[record["kept"]][loss]
            one["sum_kl_div"] = sums[f"layer_{layer}"][pair]["metrics"]["kl_div"]
            for name, block in (("decoupled", pair), ("coupled", pair + MARK)):
                for key in ("kl_div", "kl_div_se"):
                    one[f"{name}_{key}"] = scored[layer][block][key]
            one["searched"] = (int(layer), pair + MARK) in chosen
            made.append(one)
    return Results(pd.DataFrame(made), rows)


def as_kept(pairs: pd.DataFrame) -> pd.DataFrame:
    """Losses after each phase, what did not lower them taken back; a phase that was left out changes nothing."""
    return pairs[list(PHASES)].astype(float).cummin(axis=1).ffill(axis=1)


def child_table(found: Results) -> pd.DataFrame:
    """One row a child: what was promised of it, its metrics, and its KL against that of the decoupled child.

    STATE_ratio is the quotient of the two, STATE_difference their difference, window by window, with its standard error
    by document.
    """
    reference = {(row["target"], row["speedup"]): row for row in found.children if row["method"] == "decoupled"}
    made = []
    for row in found.children:
        other = reference[row["target"], row["speedup"]]
        names = ("target", "speedup", "method", "promised", "promised_by_sum", "runtime_ms", "budget_ms")
        one: Json = {name: row[name] for name in names}
        one["coupled_blocks"] = sum(block.endswith(MARK) for block in row["blocks"])
        one["other_blocks"] = sum(
            block.removesuffix(MARK) != theirs for block, theirs in zip(row["blocks"], other["blocks"], strict=True)
        )
        for state in STATES:
            one |= {f"{state}_{key}": row[state][key] for key in ("kl_div", "kl_div_se", "lm_loss", "top1")}
            mine, theirs = (np.array(each[state]["by_window"]["kl_div"]) for each in (row, other))
            one[f"{state}_ratio"] = row[state]["kl_div"] / other[state]["kl_div"]
            one[f"{state}_difference"] = float((mine - theirs).mean())
            documents = np.array(row[state]["by_window"]["document"])
            one[f"{state}_difference_se"] = known(standard_error(mine - theirs, documents))
        made.append(one | {"blocks": " / ".join(row["blocks"])})
    return pd.DataFrame(made)


def summary(found: Results) -> Json:
    """Losses and scores of all pairs, by attention and by kind, and the children's KL by method.

    Quotients of losses, and of KL of the children, are geometric means. They have value, low and high: over layers for
    pairs, over targets and speed-ups for children.
    """
    kinds = found.pairs.kind
    table = child_table(found)
    return {
        "pairs": {"all": _losses(found.pairs)} | {kind: _losses(own) for kind, own in found.pairs.groupby(kinds)},
        "attentions": {name: _losses(own) for name, own in found.pairs.groupby(kinds.str.partition(",")[0])},
        "children": {
            method: {
                state: _interval(association.geometric_mean, np.log(own[f"{state}_ratio"]), np.arange(len(own)))
                for state in STATES
            }
            for method, own in ((method, table[table.method == method]) for method in METHODS)
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


def geometric_mean(values: Sequence[float] | pd.Series) -> float:
    """Geometric mean of positive values."""
    return association.geometric_mean(np.log(np.asarray(values, float)))


def _quotient(rows: np.ndarray) -> float:
    return float(rows[:, 0].sum() / rows[:, 1].sum())


def markdown(found: Results) -> str:
    """Pairs by kind, and children, in two tables."""
    made = summary(found)
    lines = [
        "| pair | pairs | loss decoupled | refitted | trained | KL summed | KL decoupled | KL coupled | taken |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name in [*(name for name in made["pairs"] if name != "all"), "all"]:
        one = made["pairs"][name]
        cells = [name, str(one["count"]), *(f"{one[phase]:.5f}" for phase in PHASES)]
        cells += [f"{one[f'{key}_kl_div']:.4f}" for key in ("sum", "decoupled", "coupled")] + [str(one["searched"])]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Means over pairs. Loss: normalised error of the block's output on held-out text; what a phase did not lower is"
        " as before it. KL: the parent with this block alone exchanged, nats a token; summed: of its two subblocks."
        " Taken: pairs whose coupled block is in a child of the second search.",
        "",
        "| target | speed-up | child | coupled blocks | other choices | promised | KL before healing | less decoupled's"
        " | KL healed | less decoupled's |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in child_table(found).to_dict("records"):
        cells = [row["target"], f"{row['speedup']:g}", METHODS[row["method"]]]
        cells += [str(row["coupled_blocks"]), str(row["other_blocks"]), f"{row['promised']:.3f}"]
        for state in STATES:
            cells.append(plus_minus(row[f"{state}_kl_div"], row[f"{state}_kl_div_se"]))
            name = f"{state}_difference"
            itself = row["method"] == "decoupled"
            cells.append("" if itself else plus_minus(row[name], row[f"{name}_se"], "+.3f"))
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Promised: sum of scores, those of whole blocks where they were measured. KL on test text of all domains, ±"
        " standard errors by document, of the differences window by window.",
    ]
    return "\n".join(lines) + "\n"


def runs(found: Results, params: Json, seed: int) -> Iterator[tuple[str, RunRecord]]:
    """Yield RULE/NAME, where the run's file belongs, and the run of each child."""
    table = child_table(found).drop(columns="blocks").to_dict("records")
    for row, numbers in zip(found.children, table, strict=True):
        what = {key: str(row[key]) for key in ("target", "speedup", "method")}
        pairs = [f"{key}={value}" for key, value in what.items()]
        metrics = {k: float(v) for k, v in numbers.items() if k not in what and v is not None and not pd.isna(v)}
        record = RunRecord(
            experiment="puzzle/coupled",
            name="/".join(["puzzle_coupled_children", *pairs]),
            params={**what, **params, "seed": seed},
            tags={"snakemake.rule": "puzzle_coupled_children", "device": "cpu", "seed": str(seed), **what},
            metrics=metrics,
            history={
                f"healing/{name}": list(zip(row["curve"]["tokens"], row["curve"][name], strict=True))
                for name in ("kl_div", "cosine", "lm_loss")
            },
            figures=[FIGURE],
            note=f"`{' / '.join(row['blocks'])}`",
        )
        yield f"puzzle_coupled_children/{'-'.join(pairs)}", record
