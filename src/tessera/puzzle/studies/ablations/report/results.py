"""Tables, figures and runs of the ablations."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tessera.common import files, plots
from tessera.common.files import Json
from tessera.common.intervals import known
from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.ablations.cases import mean_and_half

COLOURS = {"random": plots.GREY, "paper": plots.ORANGE, "least_squares": plots.BLUE}
NAMES = {"random": "random", "paper": "the paper's rules", "least_squares": "least squares"}
STATES = {"assembled": "as assembled", "healed": "healed"}
PLACES = ("in_domain", "out_of_domain")
METRICS = ("kl_div", "lm_loss", "top1")
FIGURES = [f"reports/figures/puzzle_ablations/{name}.svg" for name in ("blocks", "flops", "cases")]


def read(blocks: Sequence[Path], cases: Sequence[Path]) -> tuple[list[Json], list[Json]]:
    """Rows of distilled blocks of all seeds, and the children of all cases and seeds."""
    rows, children = ([row for path in paths for row in files.read_json(path)] for paths in (blocks, cases))
    return rows, children


def block_table(rows: Sequence[Json], loss: str) -> pd.DataFrame:
    """Held-out loss by variant, initialisation and tokens: mean over layers, and over seeds with its interval.

    flops is the work to make one such block, a mean over layers.
    """
    keys = ["variant", "initialisation", "tokens"]
    table = pd.DataFrame([{**row, "loss": row["distilled"][loss]} for row in rows])
    by_seed = table.groupby([*keys, "replicate"], sort=False)[["loss", "flops"]].mean()
    return pd.DataFrame(
        [
            dict(zip([*keys, "mean", "half"], [*key, *mean_and_half(list(group.loss))], strict=True))
            | {"flops": group.flops.mean()}
            for key, group in by_seed.groupby(level=[0, 1, 2], sort=False)
        ]
    )


def case_table(rows: Sequence[Json], against: Mapping[str, str]) -> pd.DataFrame:
    """One row a case: KL, next-token loss and agreement by domain, as assembled and healed, over seeds with intervals.

    against names the case that each is compared with: STATE_PLACE_ratio is the quotient of their KL, geometric mean
    over seeds, whose text and order both share, between _ratio_low and _ratio_high at 95 %.
    """
    kl = {
        (state, place, row["case"], row["replicate"]): row[state][place]["kl_div"]
        for row in rows
        for state in STATES
        for place in PLACES
    }
    made = []
    for case in dict.fromkeys(row["case"] for row in rows):
        own = [row for row in rows if row["case"] == case]
        one: Json = {"case": case, "against": against[case], "seeds": len(own)}
        for state, place in itertools.product(STATES, PLACES):
            name = f"{state}_{place}"
            for metric in METRICS:
                mean, half = mean_and_half([row[state][place][metric] for row in own])
                one |= {f"{name}_{metric}": mean, f"{name}_{metric}_half": half}
            one[f"{name}_kl_div_se"] = max(known(row[state][place]["kl_div_se"]) for row in own)
            pairs = [[kl[state, place, c, row["replicate"]] for c in (case, against[case])] for row in own]
            mean, half = mean_and_half([math.log(mine / other) for mine, other in pairs])
            one[f"{name}_ratio"] = math.exp(mean)
            for side, sign in (("low", -1), ("high", 1)):
                one[f"{name}_ratio_{side}"] = None if half is None else math.exp(mean + sign * half)
        made.append(one)
    return pd.DataFrame(made)


def markdown(table: pd.DataFrame) -> str:
    """The cases in one table."""
    lines = [
        "| case | KL assembled | KL healed | out of domain, healed | next-token loss healed | against | KL relative |",
        "|---|---:|---:|---:|---:|---|---:|",
    ]

    def cell(row: Json, name: str) -> str:
        half = row[f"{name}_half"]
        return f"{row[name]:.3f}" + ("" if pd.isna(half) else f" ± {half:.3f}")

    for row in table.to_dict("records"):
        names = ["assembled_in_domain_kl_div", "healed_in_domain_kl_div", "healed_out_of_domain_kl_div"]
        names.append("healed_in_domain_lm_loss")
        low, high = row["healed_in_domain_ratio_low"], row["healed_in_domain_ratio_high"]
        relative = f"{row['healed_in_domain_ratio']:.3f}" + ("" if pd.isna(low) else f" ({low:.3f} to {high:.3f})")
        if row["case"] == row["against"]:
            relative = ""
        cells = [row["case"], *(cell(row, name) for name in names), row["against"], relative]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "± is half the 95 % interval over seeds (of text and its order), by Student's t; so is the interval of the"
        " quotient of healed KL in domain, seed by seed, with the case that stands before it.",
    ]
    return "\n".join(lines) + "\n"


def block_figure(rows: Sequence[Json], loss: str, work: Literal["tokens", "flops"]) -> Figure:
    """Held-out loss against tokens or FLOPs, by variant and initialisation. Weights that cost no FLOPs are left out."""
    table = block_table(rows, loss)
    if work == "flops":
        table = table[table.flops > 0].assign(flops=table.flops / 1e9)
    variants = list(dict.fromkeys(table.variant))
    figure, axes = plots.grid(-(-len(variants) // 3), min(3, len(variants)), 2.4, sharex=work == "tokens")
    for axis, variant in zip(axes.flat, variants, strict=False):
        for initialisation, own in table[table.variant == variant].groupby("initialisation", sort=False):
            own = own.sort_values(work)
            axis.errorbar(
                own[work],
                own["mean"],
                own.half.astype(float),
                marker="o",
                color=COLOURS[str(initialisation)],
                label=NAMES[str(initialisation)],
            )
        plots.log_scale(axis.yaxis)
        if work == "flops":
            plots.log_scale(axis.xaxis)
        axis.set_title(variant)
    for axis in axes.flat[len(variants) :]:
        axis.set_visible(False)
    for n, axis in enumerate(axes.flat[: len(variants)]):
        if work == "flops" or n + axes.shape[1] >= len(variants):
            axis.set_xlabel("tokens of distillation" if work == "tokens" else "work, GFLOP")
            axis.tick_params(labelbottom=True)
    for axis in axes[:, 0]:
        axis.set_ylabel("held-out loss")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def case_figure(table: pd.DataFrame) -> Figure:
    """KL of every case as assembled and healed, and relative to the case it is compared with, over seeds."""
    figure, axes = plots.grid(1, 2, 0.9 + 0.25 * len(table), sharey=True, width_ratios=(3, 2))
    left, right = axes[0]
    rows = -np.arange(len(table))
    for k, (state, colour) in enumerate(zip(STATES, (plots.GREY, plots.BLUE), strict=True)):
        name = f"{state}_in_domain_kl_div"
        left.errorbar(
            table[name],
            rows + 0.12 * (1 - 2 * k),
            xerr=table[f"{name}_half"].astype(float),
            ls="none",
            marker="o",
            color=colour,
            label=STATES[state],
        )
    ratio, low, high = (table[f"healed_in_domain_ratio{end}"].astype(float) for end in ("", "_low", "_high"))
    ends = np.array([ratio - low, high - ratio])
    for against, colour in zip(dict.fromkeys(table.against), (plots.BLUE, plots.ORANGE, plots.GREEN), strict=False):
        own = (table.against == against) & (table.case != against)
        right.errorbar(ratio[own], rows[own], xerr=ends[:, own], ls="none", marker="o", color=colour, label=against)
    left.set_yticks(rows, table.case)
    left.set_ylim(rows[-1] - 0.7, 0.7)
    for axis in (left, right):
        plots.log_scale(axis.xaxis)
    left.set_xlabel("KL(parent || child), nats a token")
    left.legend(loc="lower right")
    right.axvline(1.0, color=plots.BLACK, lw=0.8)
    right.set_xlabel("healed, relative")
    right.legend(title="relative to", loc="lower right")
    return figure


def runs(rows: Sequence[Json], params: Json, seed: int) -> Iterator[tuple[str, RunRecord]]:
    """Yield RULE/NAME, where the run's file belongs, and the run of each case and seed."""
    for row in rows:
        what = {"case": row["case"], "replicate": str(row["replicate"])}
        pairs = [f"{key}={value}" for key, value in what.items()]
        metrics = {
            f"{state}/{place}/{key}": float(value)
            for state in STATES
            for place in PLACES
            for key, value in row[state][place].items()
            if key != "by_window"
        }
        curve = row["curve"]
        record = RunRecord(
            experiment="puzzle/ablations",
            name="/".join(["puzzle_ablations_case", *pairs]),
            params={**what, "ablation": params["cases"][row["case"]], "seed": seed},
            tags={"snakemake.rule": "puzzle_ablations_case", "device": "cpu", "seed": str(seed), **what},
            metrics=metrics | {"objective": float(row["objective"])},
            history={
                f"healing/{name}": list(zip(curve["tokens"], curve[name], strict=True))
                for name in ("kl_div", "cosine", "lm_loss")
            },
            figures=FIGURES,
        )
        yield f"puzzle_ablations_case/{'-'.join(pairs)}", record
