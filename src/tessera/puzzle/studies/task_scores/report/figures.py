"""Figure of scores by task accuracy."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.common.intervals import known
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.studies.task_scores.report.results import KL, NAMES, Results, numbers
from tessera.puzzle.studies.task_scores.score import OBJECTIVES
from tessera.puzzle.studies.task_scores.search import SCORES

COLOURS = {KL: plots.BLUE, "error": plots.ORANGE, "choice_nll": plots.GREEN}


def scores(results: Results) -> Figure:
    """Left and middle: error on items, and the negative log-likelihood of the right choice, both less the parent's,
    against KL, variant by variant, with standard errors over items. Right: accuracy on the reported half against KL of
    the healed children that each score leads to, with 95 % intervals; dashed: the parent.
    """
    figure, axes = plots.grid(1, 3, 3.2, width_ratios=(1, 1, 0.9))
    for axis, score in zip(axes[0], OBJECTIVES, strict=False):
        for part, colour in (("attention", plots.PURPLE), ("ffn", plots.SKY)):
            rows = results.variants[results.variants["subblock"] == part]
            axis.errorbar(
                rows[KL].clip(lower=1e-6), rows[score], rows[f"{score}_se"], ls="none", marker="o", ms=2.5, lw=0.5,
                capsize=0, color=colour, label={"attention": "attention", "ffn": "FFN"}[part],
            )  # fmt: skip
        axis.axhline(0, color=plots.BLACK, lw=0.8)
        plots.log_scale(axis.xaxis)
        axis.set_xlabel("KL score, nats per token")
        rho = numbers(results)["agreement"][score]["spearman"]
        words = "" if rho["low"] is None else f"\nSpearman {rho['value']:.2f} [{rho['low']:.2f}, {rho['high']:.2f}]"
        axis.set_title(f"by {NAMES[score]}{words}", fontsize=8)
    axes[0, 0].set_ylabel("error less the parent's, ± SE")
    axes[0, 1].set_ylabel("nats per item less the parent's, ± SE")
    axes[0, 0].legend(loc="upper left", fontsize=7)
    _outcome(axes[0, 2], results)
    figure.legend(*axes[0, 2].get_legend_handles_labels(), loc="outside lower right", ncols=4)
    return figure


def _outcome(axis: Axes, results: Results) -> None:
    models = numbers(results)["models"]
    parent = models[PARENT]["all"]["accuracy"]["value"]
    axis.axhline(parent, color=plots.BLACK, lw=0.8, ls="--", label="parent")
    for score in SCORES:
        kl, accuracy = results.evaluation[score]["equal"]["in_domain"], models[score]["all"]["accuracy"]
        ends = [[accuracy["value"] - accuracy["low"]], [accuracy["high"] - accuracy["value"]]]
        axis.errorbar(
            kl[KL], accuracy["value"], ends, 1.96 * known(kl[f"{KL}_se"]), fmt="o", lw=1.2, color=COLOURS[score],
            label=f"by {NAMES[score]}",
        )  # fmt: skip
    axis.set(xlabel="KL in-domain, healed", ylabel="accuracy, reported half, ± 95 %")
    axis.set_title("children by each score", fontsize=8)
