"""Figure of the solution space: overlaps and chords of trained solutions, with the perceptron as control."""

from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, plots, stage, tracking
from tessera.common.tracking import RunRecord


def main(pairs: list[Path], runs: list[Path], overlaps: Path, walk: Path, table: Path, run: Path) -> None:
    data = pd.concat([files.read_parquet(path) for path in pairs])
    records = [tracking.read(path) for path in runs]
    rows = [{name: r.params[name] for name in ("inputs", "k", "load")} | r.metrics for r in records]
    files.write_csv(table, pd.DataFrame(rows).sort_values(["inputs", "k", "load"]))
    groups = list(data.groupby(["inputs", "load"]))
    edges = np.linspace(-0.5, 1, 31)
    drawn, axes = plots.grid(2, max(len(groups), 1), 2.6)
    for i, ((inputs, load), group) in enumerate(groups):
        for k, one in group.groupby("k"):
            axes[0, i].hist(one["overlap_centred"], edges, histtype="step", density=True, label=f"K = {k}")
            axes[1, i].plot(one["overlap_centred"], one["chord_accuracy"], ".", ms=4, label=f"K = {k}")
        axes[0, i].set(title=rf"{inputs}, $\alpha$ = {load}", ylabel="density")
        axes[1, i].set(xlabel="overlap, uniform part removed", ylabel="worst accuracy on the chord")
        axes[0, i].legend(fontsize=7)
    plots.save(drawn, overlaps)
    drawn, axes = plots.grid(1, 1, 3.2)
    lowest = min(record.params["load"] for record in records)
    for record in records:
        curve = record.history["walk_overlap_with_start"]
        if curve and record.params["load"] == lowest:
            label = f"{record.params['inputs']}, K = {record.params['k']}"
            axes[0, 0].plot([1 + s for s, _ in curve], [q for _, q in curve], label=label)
    axes[0, 0].set(xscale="log", xlabel="steps of the walk", ylabel="overlap with its start")
    axes[0, 0].legend(fontsize=7)
    plots.save(drawn, walk)
    control = [r.metrics for r in records if r.params["inputs"] == "bins" and r.params["k"] == 1 and r.metrics["tasks"]]
    others = [r.metrics for r in records if r.params["k"] > 1 and r.metrics["tasks"]]
    metrics = {}
    if control:
        metrics["control_connected_pairs"] = min(one["connected_pairs"] for one in control)
    if others:
        metrics["connected_pairs"] = max(one["connected_pairs"] for one in others)
        metrics["mean_overlap_centred"] = float(np.mean([one["mean_overlap_centred"] for one in others]))
    RunRecord(
        experiment="tempotron/clusters_summary",
        name="tempotron_clusters",
        tags={"snakemake.rule": "tempotron_clusters_report"},
        metrics=metrics,
        figures=[str(overlaps), str(walk)],
        note="The perceptron's solutions are convex: every chord of the control must be feasible.",
    ).write(run)


if __name__ == "__main__":
    stage.run(main)
