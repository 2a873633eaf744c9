"""Figure of what the children retain."""

import numpy as np
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.puzzle.studies.tasks.report.results import METHOD_NAMES, Results, numbers, split

COLOURS = {
    "full": plots.BLUE,
    "quadratic": plots.RED,
    "mip": plots.SKY,
    "greedy": plots.ORANGE,
    "max_params": plots.PURPLE,
    "homogeneous": plots.GREEN,
    "random": plots.GREY,
}


def retention(results: Results) -> Figure:
    """Accuracy above chance over the parent's, by group of task sets and of their mean, one panel per target, with
    95 % intervals over items.

    Dotted: the parent. Children that are named by a method alone are after equal healing.
    """
    targets = list(dict.fromkeys(split(child)[0] for child in results.children))
    figure, axes = plots.grid(len(targets), 1, 2.9, sharex=True, sharey=True)
    places = [*results.groups, "mean of groups"]
    order = [method for method in COLOURS if any(split(child)[1] == method for child in results.children)]
    for axis, target in zip(axes[:, 0], targets, strict=True):
        for k, method in enumerate(order):
            child = f"{target}-{method}"
            if child not in results.children:
                continue
            accuracy = numbers(results)["models"][child]
            spans = [accuracy["groups"][group]["retention"] for group in results.groups] + [accuracy["overall"]]
            known = [(x, span) for x, span in enumerate(spans) if span["value"] is not None and span["low"] is not None]
            xs = [x + 0.7 * ((k + 0.5) / len(order) - 0.5) for x, _ in known]
            middle = np.array([span["value"] for _, span in known])
            ends = np.abs([[span["low"], span["high"]] for _, span in known] - middle[:, None]).T
            label = METHOD_NAMES[method]
            axis.errorbar(xs, middle, ends, fmt="o", lw=1.2, color=COLOURS[method], label=label)
        axis.axhline(1.0, color=plots.BLACK, lw=0.8, ls=":")
        axis.axhline(0.0, color=plots.BLACK, lw=0.8)
        axis.axvline(len(results.groups) - 0.5, color=plots.GREY, lw=0.8)
        axis.set_title(f"{target} children")
        axis.set_ylabel("retention, ± 95 % by item")
        axis.grid(axis="x", visible=False)
        axis.tick_params(axis="x", length=0)
    axes[-1, 0].set_xticks(range(len(places)), places)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure
