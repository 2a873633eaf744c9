"""Figure of what the children retain."""

import numpy as np
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.common.files import Json
from tessera.puzzle.studies.tasks.report.results import METHOD_NAMES, Results, split

COLOURS = {
    "full": plots.BLUE,
    "mip": plots.SKY,
    "greedy": plots.ORANGE,
    "max_params": plots.PURPLE,
    "homogeneous": plots.GREEN,
    "random": plots.GREY,
}


def retention(found: Results, numbers: Json) -> Figure:
    """Retention by group and of the mean over groups, a panel a target."""
    targets = list(dict.fromkeys(split(child)[0] for child in found.children))
    figure, axes = plots.grid(len(targets), 1, 2.9, sharex=True, sharey=True)
    places = [*found.groups, "mean of groups"]
    order = [method for method in COLOURS if any(split(child)[1] == method for child in found.children)]
    for axis, target in zip(axes[:, 0], targets, strict=True):
        for k, method in enumerate(order):
            child = f"{target}-{method}"
            if child not in found.children:
                continue
            own = numbers["models"][child]
            spans = [own["groups"][group]["retention"] for group in found.groups] + [own["overall"]]
            known = [(x, one) for x, one in enumerate(spans) if one["value"] is not None and one["low"] is not None]
            xs = [x + 0.7 * ((k + 0.5) / len(order) - 0.5) for x, _ in known]
            middle = np.array([one["value"] for _, one in known])
            ends = np.abs([[one["low"], one["high"]] for _, one in known] - middle[:, None]).T
            label = METHOD_NAMES[method]
            axis.errorbar(xs, middle, ends, fmt="o", lw=1.2, color=COLOURS[method], label=label)
        axis.axhline(1.0, color=plots.BLACK, lw=0.8, ls=":")
        axis.axhline(0.0, color=plots.BLACK, lw=0.8)
        axis.axvline(len(found.groups) - 0.5, color=plots.GREY, lw=0.8)
        axis.set_title(f"{target} children")
        axis.set_ylabel("retention, ± 95 % by item")
        axis.grid(axis="x", visible=False)
        axis.tick_params(axis="x", length=0)
    axes[-1, 0].set_xticks(range(len(places)), places)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure
