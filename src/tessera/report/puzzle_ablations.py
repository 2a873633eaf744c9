"""Tables, figures and runs of the ablations."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from tessera.common import files, plots
from tessera.common.run_files import RunRecord
from tessera.puzzle.ablations import spread
from tessera.report.puzzle_validity_results import Json

COLOURS = {"random": plots.GREY, "paper": plots.ORANGE, "least_squares": plots.BLUE}
NAMES = {"random": "random", "paper": "the paper's rules", "least_squares": "least squares"}
STATES = {"assembled": "as assembled", "healed": "healed"}
FIGURES = ["reports/figures/puzzle_ablations/blocks.svg", "reports/figures/puzzle_ablations/cases.svg"]


def read(blocks: Sequence[Path], cases: Sequence[Path]) -> tuple[list[Json], list[Json]]:
    """Rows of distilled blocks of all seeds, and the children of all cases and seeds."""
    return [row for path in blocks for row in files.read_json(path)], [files.read_json(path) for path in cases]


def block_table(rows: Sequence[Json], loss: str) -> pd.DataFrame:
    """Held-out loss by variant, initialisation and tokens: mean over layers, and over seeds with its interval."""
    table = pd.DataFrame(
        [
            {key: row[key] for key in ("variant", "initialisation", "tokens", "replicate", "layer")}
            | {"loss": row["distilled"][loss]}
            for row in rows
        ]
    )
    by_seed = table.groupby(["variant", "initialisation", "tokens", "replicate"], sort=False).loss.mean()
    return pd.DataFrame(
        [
            dict(zip(("variant", "initialisation", "tokens"), key, strict=True)) | spread(list(group))
            for key, group in by_seed.groupby(level=[0, 1, 2], sort=False)
        ]
    )


def case_table(rows: Sequence[Json]) -> pd.DataFrame:
    """One row a case: KL, next-token loss and agreement as assembled and healed, over seeds with intervals."""
    made = []
    for case in dict.fromkeys(row["case"] for row in rows):
        own = [row for row in rows if row["case"] == case]
        one: Json = {"case": case, "seeds": len(own)}
        for state in STATES:
            for metric in ("kl_div", "lm_loss", "top1"):
                found = spread([row[state][metric] for row in own])
                one |= {f"{state}_{metric}": found["mean"], f"{state}_{metric}_half": found["half"]}
            one[f"{state}_kl_div_se"] = max(row[state]["kl_div_se"] for row in own)
        made.append(one)
    return pd.DataFrame(made)


def markdown(rows: Sequence[Json]) -> str:
    """The cases in one table."""
    lines = ["| case | KL assembled | KL healed | next-token loss healed | top-1 healed |", "|---|---:|---:|---:|---:|"]

    def cell(row: Json, name: str, scale: float = 1.0) -> str:
        half = row[f"{name}_half"]
        return f"{scale * row[name]:.3f}" + ("" if half is None or half != half else f" ± {scale * half:.3f}")

    for row in case_table(rows).to_dict("records"):
        names = ("assembled_kl_div", "healed_kl_div", "healed_lm_loss", "healed_top1")
        lines.append(f"| {row['case']} | " + " | ".join(cell(row, name) for name in names) + " |")
    lines += ["", "± is half the 95 % interval over seeds (of text and its order), by Student's t."]
    return "\n".join(lines) + "\n"


def block_figure(rows: Sequence[Json], loss: str) -> Figure:
    """Held-out loss against tokens, by variant and initialisation."""
    table = block_table(rows, loss)
    variants = list(dict.fromkeys(table.variant))
    figure, axes = plots.grid(-(-len(variants) // 3), min(3, len(variants)), 2.4, sharex=True)
    for axis, variant in zip(axes.flat, variants, strict=False):
        for initialisation, own in table[table.variant == variant].groupby("initialisation", sort=False):
            own = own.sort_values("tokens")
            axis.errorbar(
                own.tokens,
                own["mean"],
                own.half.astype(float).fillna(0.0),
                marker="o",
                color=COLOURS[str(initialisation)],
                label=NAMES[str(initialisation)],
            )
        plots.log_scale(axis.yaxis)
        axis.set_title(variant)
    for axis in axes.flat[len(variants) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("tokens of distillation")
    for axis in axes[:, 0]:
        axis.set_ylabel("held-out loss")
    axes[0, 0].legend(fontsize=7)
    return figure


def case_figure(rows: Sequence[Json]) -> Figure:
    """KL of every case as assembled and healed, with intervals over seeds."""
    table = case_table(rows)
    figure, axes = plots.grid(1, 1, 0.9 + 0.28 * len(table))
    axis = axes[0, 0]
    for k, (state, colour) in enumerate(zip(STATES, (plots.GREY, plots.BLUE), strict=True)):
        axis.errorbar(
            table[f"{state}_kl_div"],
            [-n + 0.12 * (1 - 2 * k) for n in range(len(table))],
            xerr=table[f"{state}_kl_div_half"].astype(float).fillna(0.0),
            ls="none",
            marker="o",
            color=colour,
            label=STATES[state],
        )
    axis.set_yticks([-n for n in range(len(table))], table.case)
    plots.log_scale(axis.xaxis)
    axis.set_xlabel("KL(parent || child), nats a token, test text, ± 95 % over seeds")
    axis.legend(loc="lower right")
    return figure


def runs(rows: Sequence[Json], params: Json, seed: int) -> Iterator[tuple[str, RunRecord]]:
    """Yield RULE/NAME, where the run's file belongs, and the run of each case and seed."""
    for row in rows:
        what = {"case": row["case"], "replicate": str(row["replicate"])}
        pairs = [f"{key}={value}" for key, value in what.items()]
        metrics = {
            f"{state}/{key}": float(value)
            for state in STATES
            for key, value in row[state].items()
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
