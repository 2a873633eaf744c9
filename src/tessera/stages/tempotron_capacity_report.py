"""Figures of capacity: theory, findable loads, exact existence, what the rule's parts do, and a voltage trace."""

from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, plots, stage, tracking
from tessera.common.tracking import RunRecord
from tessera.tempotron.existence import cover_probability


def main(
    capacity: Path,
    findable: list[Path],
    findable_runs: list[Path],
    existence: list[Path],
    ablation: Path,
    trace: Path,
    capacity_figure: Path,
    existence_figure: Path,
    ablation_figure: Path,
    trace_figure: Path,
    table: Path,
    run: Path,
) -> None:
    theory = files.read_parquet(capacity)
    points = _points(findable)
    runs = pd.concat([files.read_parquet(path) for path in findable_runs])
    counts = pd.concat([files.read_parquet(path) for path in existence])
    files.write_csv(table, points)
    drawn, axes = plots.grid(1, 2, 3.4)
    _capacity(axes[0, 0], theory, points)
    _solved(axes[0, 1], runs)
    plots.save(drawn, capacity_figure)
    drawn, axes = plots.grid(1, 1, 3.4)
    _existence(axes[0, 0], counts, theory)
    plots.save(drawn, existence_figure)
    drawn, axes = plots.grid(1, 2, 3.0)
    _ablation(axes[0], files.read_parquet(ablation))
    plots.save(drawn, ablation_figure)
    drawn, axes = plots.grid(1, 1, 2.6)
    _trace(axes[0, 0], files.read_parquet(trace))
    plots.save(drawn, trace_figure)
    largest = points[points["n"] == points["n"].max()].dropna(subset=["findable"])
    metrics = {f"findable_k_{row.k:g}_n_{row.n}": float(row.findable) for row in largest.itertuples()}
    cover = counts[counts["k"] == 1]
    if len(cover):
        expected = np.array([cover_probability(p, n) for p, n in zip(cover["patterns"], cover["n"], strict=True)])
        sd = np.sqrt(expected * (1 - expected) / cover["runs"])
        metrics["cover_largest_z"] = float(np.max(np.abs(cover["solvable"] / cover["runs"] - expected) / sd))
    metrics["undecided"] = float(counts["undecided"].sum())
    figures = [capacity_figure, existence_figure, ablation_figure, trace_figure]
    RunRecord(
        experiment="tempotron/capacity",
        name="tempotron_capacity",
        tags={"snakemake.rule": "tempotron_capacity_report"},
        metrics=metrics,
        figures=[str(path) for path in figures],
        note="Findable loads are lower bounds within the budget of epochs; the theory is that of independent bins.",
    ).write(run)


def _points(paths: list[Path]) -> pd.DataFrame:
    records = [tracking.read(path) for path in paths]
    names = ("findable", "findable_low", "findable_high")
    rows = [{"k": r.params["k"], "n": r.params["n"]} | {m: r.metrics.get(m, np.nan) for m in names} for r in records]
    return pd.DataFrame(rows).sort_values(["n", "k"])


def _capacity(axis, theory: pd.DataFrame, points: pd.DataFrame) -> None:
    above = theory[theory["k"] > 1]
    axis.plot(theory["k"], theory["one_step"], label="1RSB, bins")
    axis.plot(above["k"], above["zero_overlap"], ls="--", lw=1, color=plots.CYCLE[0], label=r"1RSB, $q_0 = 0$")
    axis.plot(theory["k"], theory["replica_symmetric"], label="RS, bins")
    axis.plot(above["k"][above["k"] >= 3], above["leading"][above["k"] >= 3], "k--", lw=1, label="leading order")
    axis.axhline(2, color="grey", lw=0.8)
    for i, (n, one) in enumerate(points.dropna(subset=["findable"]).groupby("n")):
        low, high = one["findable"] - one["findable_low"], one["findable_high"] - one["findable"]
        error = np.vstack([low.fillna(0), high.fillna(0)]).clip(min=0)
        style = {"fmt": "os^D"[i % 4], "color": plots.CYCLE[2 + i], "label": f"findable, N = {n}"}
        axis.errorbar(one["k"] * (1 + 0.06 * i), one["findable"], error, **style)
    axis.set_xscale("log")
    axis.set_ylim(0, 8)
    axis.set_xlabel(r"K = $T/\sqrt{\tau_m \tau_s}$")
    axis.set_ylabel(r"load $\alpha$ = P/N")
    axis.legend(fontsize=7, ncols=2)


def _solved(axis, runs: pd.DataFrame) -> None:
    largest = runs[runs["n"] == runs["n"].max()]
    for k, one in largest.groupby("k"):
        fraction = one.groupby("load")["solved"].mean()
        axis.plot(fraction.index, fraction, "o-", ms=4, label=f"K = {k:g}")
    axis.set_xlabel(r"load $\alpha$")
    axis.set_ylabel(f"solved fraction, N = {runs['n'].max()}")
    axis.legend()


def _existence(axis, counts: pd.DataFrame, theory: pd.DataFrame) -> None:
    for colour, ((k, n), one) in zip(plots.CYCLE, counts.groupby(["k", "n"]), strict=False):
        p = one["solvable"] / one["runs"]
        axis.errorbar(one["patterns"] / n, p, np.sqrt(p * (1 - p) / one["runs"]), fmt="o-", ms=4, color=colour,
                      capsize=2, label=f"K = {k}, N = {n}")  # fmt: skip
        open_ = one["undecided"] / one["runs"]
        axis.fill_between(one["patterns"] / n, p, p + open_, color=colour, alpha=0.2, lw=0)
        for value in theory.loc[theory["k"] == k, "one_step"]:
            axis.axvline(value, color=colour, lw=0.8, ls=":")
        if k == 1:
            axis.plot(
                one["patterns"] / n, [cover_probability(m, n) for m in one["patterns"]], "k_", ms=12, label="Cover"
            )
    axis.set_xlabel(r"load $\alpha$ = P/N (dotted: theory at large N)")
    axis.set_ylabel("solvable fraction")
    axis.legend(fontsize=7)


def _ablation(axes, table: pd.DataFrame) -> None:
    plain = table[table["margin"] == 0]
    for marker, (momentum, one) in zip("os^Dv", plain.groupby("momentum"), strict=False):
        fraction = one.groupby("rate")["solved"].mean()
        axes[0].plot(fraction.index, fraction, f"{marker}-", mfc="none", label=f"momentum {momentum}")
    axes[0].set_xscale("log")
    axes[0].set_xlabel(r"learning rate $\lambda$ (thresholds)")
    axes[0].set_ylabel("solved fraction")
    axes[0].legend()
    best = table[table["momentum"] == table["momentum"].max()]
    compared = best[best["rate"] == best.loc[best["margin"] > 0, "rate"].max()] if (best["margin"] > 0).any() else best
    for name, label in (("jittered_accuracy", "accuracy under jitter"), ("solved", "solved fraction")):
        mean = compared.groupby("margin")[name].mean()
        axes[1].plot(mean.index, mean, "o-", ms=4, label=label)
    axes[1].set_xlabel(r"margin $\kappa$ (thresholds)")
    axes[1].legend()


def _trace(axis, trace: pd.DataFrame) -> None:
    axis.plot(trace["time"], trace["exact"], lw=1.2, label="closed form")
    axis.plot(trace["time"][::20], trace["brian"][::20], ".", ms=4, label="Brian2")
    axis.plot(trace["t_max"].iloc[0], trace["v_max"].iloc[0], "v", color=plots.CYCLE[3], label="exact maximum")
    axis.axhline(1, color="grey", lw=0.8)
    axis.set_xlabel("t (ms)")
    axis.set_ylabel(r"V / $\theta$")
    axis.legend(fontsize=7, ncols=3)


if __name__ == "__main__":
    stage.run(main)
