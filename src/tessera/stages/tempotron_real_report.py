"""Figure of the real inputs: test accuracies, and the law of the maximum on receptors."""

from pathlib import Path

import numpy as np

from tessera.common import files, plots, stage, tracking
from tessera.common.tracking import RunRecord
from tessera.tempotron import maximum


def main(accuracies: Path, quantiles: Path, inputs: Path, real: Path, table: Path, run: Path) -> None:
    rows, law = files.read_parquet(accuracies), files.read_parquet(quantiles)
    names = ["tempotron", "tempotron_train", "logistic", "chance"]
    means = rows.groupby("task")[names].mean().reset_index()
    means["splits"] = rows.groupby("task").size().to_numpy()
    # Standard error over all test patterns of a task, as of one binomial.
    means["test_patterns"] = rows.groupby("task")["n_test"].sum().to_numpy()
    files.write_csv(table, means)
    drawn, axes = plots.grid(1, 2, 3.4)
    accuracy, maxima = axes[0]
    place = np.arange(len(means))
    for i, name in enumerate(("tempotron", "logistic", "chance")):
        error = np.sqrt(means[name] * (1 - means[name]) / means["test_patterns"])
        accuracy.bar(place + 0.27 * (i - 1), means[name], 0.25, yerr=error if i < 2 else None, label=name)
    accuracy.set_xticks(place, [task.replace("_", " ") for task in means["task"]], rotation=40, ha="right")
    accuracy.set(ylabel="test accuracy", ylim=(0.4, 1.02))
    accuracy.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    h, k, k_poisson = np.linspace(0, 5, 300), law["k"].iloc[0], law["k_poisson"].iloc[0]
    maxima.plot(law["h"], law["p"], lw=2, label="receptors")
    maxima.plot(h, maximum.law("rice", h, k), "k-", lw=1, label=f"Rice, K = {k:.0f} (measured)")
    maxima.plot(h, maximum.law("rice", h, k_poisson), "k:", lw=1, label=f"Rice, K = {k_poisson:.0f} (Poisson)")
    maxima.set(xlabel=r"h = max V / $\sigma_V$", ylabel="P(max V < h)")
    maxima.legend(fontsize=7)
    plots.save(drawn, real)
    record = tracking.read(inputs)
    RunRecord(
        experiment="tempotron/real_summary",
        name="tempotron_real",
        tags={"snakemake.rule": "tempotron_real_report"},
        metrics=record.metrics,
        figures=[str(real)],
        note=record.note,
    ).write(run)


if __name__ == "__main__":
    stage.run(main)
