"""Figures and tables of the cost model's validation."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tessera.common import plots
from tessera.puzzle.studies.cost_validation import published

#: Software by its name in tables, with colour and marker.
MARKS = {"trtllm": (plots.BLUE, "o"), "vllm": (plots.ORANGE, "s"), "sglang": (plots.GREEN, "^")}
SHORT = {"attention": "attn", "ffn": "FFN"}
NAMES = {"trtllm": "TensorRT-LLM", "vllm": "vLLM", "sglang": "SGLang"}


def short(software: str) -> str:
    """Software without its version."""
    return software.split(" ")[0]


def _handle(software: str) -> Line2D:
    """A legend's entry."""
    colour, marker = MARKS[software]
    made = plots.line(colour, "none", NAMES[software], marker)
    made.set_markerfacecolor(colour)
    return made


def throughput(table: pd.DataFrame) -> Figure:
    """Ratio of child to parent by workload beside the paper's, and throughputs beside those that are stated."""
    figure, ((left, right),) = plots.grid(1, 2, 3.4, width_ratios=[2.2, 1])
    first = table[table.software == table.software.iloc[0]]
    places = np.arange(len(first))
    for place, paper in zip(places, first.paper_ratio, strict=True):
        left.plot([place - 0.4, place + 0.4], [paper, paper], color=plots.BLACK, lw=2)
        left.fill_between([place - 0.4, place + 0.4], 0.85 * paper, 1.15 * paper, color=plots.GREY, alpha=0.2, lw=0)
    for n, (software, rows) in enumerate(table.groupby("software", sort=False)):
        colour, marker = MARKS[short(str(software))]
        at = places + 0.22 * (n - (table.software.nunique() - 1) / 2)
        left.plot(at, rows.ratio, marker, color=colour)
        left.plot(at, rows.best_ratio, marker, color=colour, mfc="none")
        stated = rows.dropna(subset=["paper_child"])
        for name, ms in (("child", 6), ("parent", 3)):
            right.plot(stated[f"paper_{name}"], stated[name], marker, color=colour, ms=ms)
    left.set(
        xticks=places,
        xticklabels=[f"{p}/{d}" for p, d in zip(first.prefill, first.decode, strict=True)],
        ylim=(1, None),
    )
    left.set(xlabel="tokens read/written", ylabel="throughput, child / parent", title="Nemotron Super 49B, fp8, H100")
    handles = [plots.line(plots.BLACK, label="NVIDIA's, of Nemotron 51B (band: 15 %)")]
    for software in dict.fromkeys(map(short, table.software)):
        handles.append(_handle(software))
    handles.append(plots.line(plots.GREY, "none", "hollow: at the best batch and number of GPUs that fit", "o"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    ends = [200, 9000]
    right.plot(ends, ends, color=plots.GREY, lw=1)
    right.set(xlim=ends, ylim=ends, xlabel="stated, output tokens/s, GPU", ylabel="summed, output tokens/s, GPU")
    right.set_title("Tokens/s (small: parent)")
    for axis in (right.xaxis, right.yaxis):
        plots.log_scale(axis)
    return figure


def roofline(table: pd.DataFrame) -> Figure:
    """Decode and prefill time of every variant in multiples of the datasheet's bound."""
    dtypes = list(dict.fromkeys(table.dtype))
    figure, axes = plots.grid(len(dtypes), 2, 2.8, sharex=True, sharey=True)
    for row, dtype in zip(axes, dtypes, strict=True):
        for ax, phase in zip(row, ("decode", "prefill"), strict=True):
            for software, rows in table[table.dtype == dtype].groupby("software", sort=False):
                colour, marker = MARKS[short(str(software))]
                ax.plot(
                    np.arange(len(rows)),
                    rows[f"{phase}_ratio"],
                    marker,
                    color=colour,
                    label=NAMES[short(str(software))],
                )
            names = zip(rows.subblock, rows.variant.str.removeprefix("ffn"), strict=True)
            labels = ["outside" if part == "non_block" else f"{SHORT[part]} {variant}" for part, variant in names]
            ax.set_xticks(np.arange(len(rows)), labels, rotation=60, ha="right", rotation_mode="anchor")
            ax.axhline(1, color=plots.GREY, lw=1)
            ax.set(title=f"{phase}, {dtype}", ylabel="time / bound" if phase == "decode" else "")
            plots.log_scale(ax.yaxis)
    axes[0, 0].legend()
    return figure


def interpolation(table: pd.DataFrame) -> Figure:
    """Errors of layouts that were timed, had they been interpolated."""
    groups = [(d, p) for d in dict.fromkeys(table.dtype) for p in ("decode", "prefill")]
    figure, ((ax,),) = plots.grid(1, 1, 2.8)
    rng = np.random.default_rng(0)
    software = list(dict.fromkeys(table.software))
    for n, name in enumerate(software):
        colour, marker = MARKS[short(name)]
        for place, (dtype, phase) in enumerate(groups):
            rows = table[(table.software == name) & (table.dtype == dtype) & (table.phase == phase)]
            at = place + 0.25 * (n - (len(software) - 1) / 2)
            ax.plot(
                at + rng.uniform(-0.08, 0.08, len(rows)),
                100 * rows.error,
                marker,
                color=colour,
                ms=2.5,
                alpha=0.5,
                mew=0,
            )
            ax.plot([at - 0.1, at + 0.1], 2 * [100 * rows.error.median()], color=plots.BLACK, lw=1.5)
    handles = [_handle(short(name)) for name in software]
    ax.legend(handles=[*handles, plots.line(plots.BLACK, label="median")], ncols=4, loc="upper left")
    ax.axhline(0, color=plots.GREY, lw=1)
    ax.set(xticks=np.arange(len(groups)), xticklabels=[f"{phase}, {dtype}" for dtype, phase in groups])
    ax.set(ylabel="interpolated less timed, %", title="Attention layouts left out one at a time")
    ax.margins(y=0.2)
    return figure


def metrics(throughputs: pd.DataFrame, summary: pd.DataFrame, ratios: pd.DataFrame) -> dict[str, Any]:
    """The numbers of the claims, by software."""
    found: dict[str, Any] = {"throughput": {}, "interpolation": {}, "roofline": {}}
    for row in throughputs.to_dict("records"):
        one = {"ratio": row["ratio"], "best_ratio": row["best_ratio"], "paper_ratio": row["paper_ratio"]}
        one |= {"ratio_error": row["ratio"] / row["paper_ratio"] - 1}
        one |= {"best_ratio_error": row["best_ratio"] / row["paper_ratio"] - 1}
        for name in ("child", "parent"):
            one |= {name: row[name], f"{name}_gib": row[f"{name}_gib"], f"{name}_fits": int(row[f"{name}_fits"])}
            if row[f"paper_{name}"] > 0:
                one[f"{name}_error"] = row[name] / row[f"paper_{name}"] - 1
        found["throughput"].setdefault(short(row["software"]), {})[f"{row['prefill']}/{row['decode']}"] = one
    for row in summary.to_dict("records"):
        at = found["interpolation"].setdefault(short(row["software"]), {}).setdefault(row["dtype"], {})
        at.setdefault(row["phase"], {})[str(row["head_dim"])] = {k: row[k] for k in ("points", "median", "largest")}
    for (software, dtype), rows in ratios.groupby(["software", "dtype"]):
        one = {
            f"{p}_{k}": getattr(rows[f"{p}_ratio"], k)()
            for p in ("prefill", "decode")
            for k in ("min", "median", "max")
        }
        found["roofline"].setdefault(short(str(software)), {})[dtype] = one
    return found


def markdown(throughputs: pd.DataFrame, summary: pd.DataFrame, ratios: pd.DataFrame) -> str:
    """Results in words and tables."""
    child, parent = published.ASSUMED["child"], published.ASSUMED["parent"]
    lines = [
        "# The cost model beside measurements of others",
        "",
        "Output tokens per second and GPU of Nemotron Super 49B over those of Llama-3.1-70B, H100 SXM, fp8, summed",
        f"from kernels; child at batch {child[0]} on {child[1]} GPU, parent at batch {parent[0]} on {parent[1]},",
        "which is assumed, for NVIDIA states none. NVIDIA's ratio is of Nemotron 51B, another child of its family,",
        "under TensorRT-LLM. In brackets: the ratio's error. GiB are of weights and the batch's KV cache on one GPU;",
        f"* more than {published.usable_memory() / 2**30:.1f}, so the whole batch does not fit at full length.",
        "",
        "| software | read/written | NVIDIA | summed | best that fits | child, 1/s | parent, 1/s | GiB of each |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [_throughput_row(row) for row in throughputs.to_dict("records")]
    lines += ["", "Attention layouts that were timed, had they been interpolated from others:", ""]
    lines += [
        "| software | type | phase | head size | points | median error, % | largest, % |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    for r in summary.to_dict("records"):
        cells = [r[key] for key in ("software", "dtype", "phase", "head_dim", "points")]
        cells += [f"{100 * r[key]:.1f}" for key in ("median", "largest")]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "Time of Llama-3.1-70B's variants by the database in multiples of the datasheet's bound:", ""]
    lines += ["| software | type | decode: least, median, most | prefill: least, median, most |", "|---|---|--:|--:|"]
    for (software, dtype), rows in ratios.groupby(["software", "dtype"], sort=False):
        columns = [rows[f"{phase}_ratio"] for phase in ("decode", "prefill")]
        cells = [f"{c.min():.2f}, {c.median():.2f}, {c.max():.2f}" for c in columns]
        lines.append(f"| {software} | {dtype} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def _throughput_row(row: dict[str, Any]) -> str:
    cells = [NAMES[short(row["software"])], f"{row['prefill']}/{row['decode']}", f"{row['paper_ratio']:.2f}"]
    cells.append(f"{row['ratio']:.2f} ({100 * (row['ratio'] / row['paper_ratio'] - 1):+.0f} %)")
    best = [f"{name} {row[f'best_{name}_batch']:.0f} on {row[f'best_{name}_gpus']:.0f}" for name in ("child", "parent")]
    cells.append(f"{row['best_ratio']:.2f} ({', '.join(best)})")
    for name in ("child", "parent"):
        stated = row[f"paper_{name}"]
        cells.append(f"{row[name]:.0f}" + (f" (stated {stated:.0f})" if stated > 0 else ""))
    gib = [f"{row[f'{name}_gib']:.1f}{'' if row[f'{name}_fits'] else ' *'}" for name in ("child", "parent")]
    cells.append(", ".join(gib))
    return f"| {' | '.join(cells)} |"
