"""Figure of coupled distillation."""

import numpy as np
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.common.association import geometric_mean
from tessera.puzzle.studies.coupled.report.results import METHODS, STATES, Results, as_kept
from tessera.puzzle.studies.coupled.report.tables import children

PHASE_COLOURS = {"decoupled": plots.GREY, "refitted": plots.ORANGE, "trained": plots.BLUE}
METHOD_COLOURS = {"decoupled": plots.GREY, "coupled": plots.BLUE, "searched": plots.GREEN}
SHADES = {"assembled": 0.4, "healed": 1.0}


def coupled(results: Results) -> Figure:
    """Left: held-out loss of the pairs by kind, decoupled, with the last linear map refitted, and trained together;
    strokes are layers, circles geometric means. Right: KL to the parent of three children at each budget, before (pale)
    and after equal healing, with 95 % intervals by document.
    """
    kinds = sorted(results.pairs.kind.unique())
    figure, (axes,) = plots.grid(1, 2, 1.6 + 0.45 * max(4, len(kinds)))
    left, right = axes
    losses = as_kept(results.pairs)
    for k, (phase, colour) in enumerate(PHASE_COLOURS.items()):
        for y, name in enumerate(kinds):
            of_kind, place = losses.loc[results.pairs.kind == name, phase], 0.22 * (1 - k) - y
            left.plot(of_kind, np.full(len(of_kind), place), "|", color=colour, alpha=0.5)
            left.plot(
                [geometric_mean(np.log(of_kind.to_numpy()))], [place], "o", color=colour, label=phase if not y else None
            )
    left.set_yticks(-np.arange(len(kinds)), [name.replace(", ", ",\n") for name in kinds])
    left.set_ylim(-len(kinds) + 0.4, 0.6)
    plots.log_scale(left.xaxis)
    left.set_xlabel("held-out loss of the block")
    table = children(results)
    places = list(dict.fromkeys(zip(table.target, table.speedup, strict=True)))
    bars = [(method, state) for method in METHODS for state in STATES]
    for n, (target, speedup) in enumerate(places):
        here = table[(table.target == target) & (table.speedup == speedup)].set_index("method")
        for k, (method, state) in enumerate(bars):
            x = n + 0.85 * ((k + 0.5) / len(bars) - 0.5)
            height, error = here.loc[method, [f"{state}_kl_div", f"{state}_kl_div_se"]]
            right.bar(x, height, 0.85 / len(bars), color=METHOD_COLOURS[method], alpha=SHADES[state])
            right.errorbar(x, height, 1.96 * error, color=plots.BLACK, lw=0.8, capsize=0)
    right.set_xticks(range(len(places)), [f"{target}\n{speedup:g}x" for target, speedup in places])
    right.grid(axis="x", visible=False)
    right.set_ylabel("KL, nats per token, ± 95 %")
    for method, colour in METHOD_COLOURS.items():
        right.bar(0, 0, color=colour, label=METHODS[method])
    right.bar(0, 0, color=plots.GREY, alpha=SHADES["assembled"], label=f"pale: {STATES['assembled']}")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=7)
    return figure
