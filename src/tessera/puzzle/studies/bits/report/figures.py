"""Figure of the children in types."""

from matplotlib.figure import Figure

from tessera.common import plots
from tessera.common.intervals import known
from tessera.puzzle.studies.bits.report.results import BUDGETS, NAMES, Results

COLOURS = {"joint": plots.RED, "structure": plots.BLUE, "bits": plots.GREEN, "types": plots.BLACK}


def frontier(results: Results) -> Figure:
    """KL on test text against the speed of the whole model (left) and the size of its weights (right), both relative to
    the parent's in the first type: structure and bits chosen at once (filled), each alone, and the parent in one type.
    Lines: as predicted. Bars: ± standard errors by document.
    """
    figure, axes = plots.grid(1, 2, 3.6, sharey=True)
    for axis, (budget, label) in zip(axes[0], BUDGETS.items(), strict=True):
        for method, colour in COLOURS.items():
            points = sorted(results.of(method, budget), key=lambda point: point[budget])
            x = [point[budget] for point in points]
            measured = [point["measured"] for point in points]
            if method != "types":
                axis.plot(x, [point["value"] for point in points], color=colour, lw=0.9, ls="--")
            axis.errorbar(
                x,
                [m["kl_div"] for m in measured],
                [known(m["kl_div_se"]) for m in measured],
                color=colour,
                ls="none",
                marker="s" if method == "types" else "o",
                ms=8 if method == "joint" else 5,
                mfc=colour if method == "joint" else "white",
                zorder=3 if method == "joint" else 4,  # smaller marks of the same children lie on it
            )
            if method == "types":
                for point in points:
                    place = (point[budget], point["measured"]["kl_div"])
                    axis.annotate(point["types"], place, (5, -9), textcoords="offset points", fontsize=7)
        axis.set_xlabel(label)
        axis.margins(x=0.1)
    plots.log_scale(axes[0, 0].yaxis)
    axes[0, 0].set_ylabel("KL(parent || child), nats, test text")
    handles = [
        plots.line(colour, "none" if method == "types" else "--", NAMES[method], "s" if method == "types" else "o")
        for method, colour in COLOURS.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure
