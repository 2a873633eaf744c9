"""Figures of the cost model's validation."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tessera.common import plots
from tessera.puzzle.studies.cost_validation.report.results import NAMES, Results, short

#: Colour and marker of each software.
MARKS = {"trtllm": (plots.BLUE, "o"), "vllm": (plots.ORANGE, "s"), "sglang": (plots.GREEN, "^")}
SHORT = {"attention": "attn", "ffn": "FFN"}


def _handle(software: str) -> Line2D:
    """A legend's entry."""
    colour, marker = MARKS[software]
    handle = plots.line(colour, "none", NAMES[software], marker)
    handle.set_markerfacecolor(colour)
    return handle


def throughput(results: Results) -> Figure:
    """Throughput of a published child (Nemotron Super 49B) over its parent's (Llama-3.1-70B), summed from NVIDIA's
    kernel timings, compared with NVIDIA's numbers for Nemotron 51B.

    Batches and GPUs of NVIDIA's numbers are not stated: filled marks are at those assumed (child 256 on one GPU, parent
    384 on four), hollow ones at the best that fit into memory. No error bars: the sums are deterministic.
    """
    table = results.throughput
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


def roofline(results: Results) -> Figure:
    """Time of the variants of Llama-3.1-70B's subblocks by the kernel database in multiples of the datasheet's bound,
    for decode and prefill.
    """
    table = results.roofline
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


def interpolation(results: Results) -> Figure:
    """Error of interpolating decode and prefill attention of timed head layouts from other layouts.

    Each point is a layout, batch and context; the bar is the median.
    """
    table = results.interpolation
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
