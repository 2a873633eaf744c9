"""Figures of the theory: the law of the maximum with its candidates, and the replica capacities."""

from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, plots, stage
from tessera.common.tracking import RunRecord
from tessera.tempotron import maximum

LABELS = {"rice": "Rice", "gumbel": "Gumbel(a, 1/a)", "gumbel_iid": "Gumbel, K i.i.d.", "iid": r"$\Phi(h)^K$"}
DASHES = {"rice": "-", "gumbel": "--", "gumbel_iid": ":", "iid": "-."}
SOURCES = {"process": "Gaussian process", "poisson": "neuron, Poisson", "single": "neuron, one spike"}


def main(
    capacity: Path,
    planted: Path,
    quantiles: list[Path],
    law: Path,
    overlap: Path,
    table: Path,
    run: Path,
) -> None:
    theory, curves = files.read_parquet(capacity), files.read_parquet(planted)
    samples = pd.concat([files.read_parquet(path) for path in quantiles])
    files.write_csv(table, theory)
    ks = sorted(samples["k"].unique())
    drawn, axes = plots.grid((len(ks) + 1) // 2, 2, 2.8)
    for axis, k in zip(axes.flat, ks, strict=False):
        _law(axis, samples[samples["k"] == k], k)
    for axis in axes.flat[len(ks) :]:
        axis.set_visible(False)
    axes[0, 0].legend(fontsize=7, loc="lower right")
    plots.save(drawn, law)
    drawn, axes = plots.grid(1, 1, 3.2)
    for k, one in curves.groupby("k"):
        axes[0, 0].plot(one["load"], one["q"], label=f"K = {k}")
    axes[0, 0].set(xlabel=r"load $\alpha$", ylabel="overlap q of typical solutions", xlim=(0, 4.5))
    axes[0, 0].legend()
    plots.save(drawn, overlap)
    metrics = {f"one_step_k_{row.k}": float(row.one_step) for row in theory.itertuples()}
    metrics |= {f"replica_symmetric_k_{row.k}": float(row.replica_symmetric) for row in theory.itertuples()}
    metrics |= {f"zero_overlap_k_{row.k}": float(row.zero_overlap) for row in theory.itertuples()}
    RunRecord(
        experiment="tempotron/theory",
        name="tempotron_theory",
        tags={"snakemake.rule": "tempotron_theory_report"},
        metrics=metrics,
        figures=[str(law), str(overlap)],
        note="Capacities of K independent bins. One-step breaking is a prediction, not a bound: its stability is "
        "unchecked.",
    ).write(run)


def _law(axis, samples: pd.DataFrame, k: float) -> None:
    h = np.linspace(0, 5, 300)
    for colour, (source, label) in zip(plots.CYCLE, SOURCES.items(), strict=False):
        x = samples.loc[samples["source"] == source, "h"].to_numpy()
        axis.plot(x, (np.arange(len(x)) + 0.5) / len(x), color=colour, lw=2, alpha=0.7, label=label)
    for name in maximum.LAWS:
        axis.plot(h, maximum.law(name, h, k), color="black", ls=DASHES[name], lw=0.9, label=LABELS[name])
    axis.set_title(f"K = {k:g}")
    axis.set(xlabel=r"h = max V / $\sigma_V$", ylabel="P(max V < h)")


if __name__ == "__main__":
    stage.run(main)
