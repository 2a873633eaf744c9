"""Figure of the children on several GPUs."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tessera.common import plots
from tessera.common.files import Json
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.studies.gpus.report.results import Results

SHORT = {"bfloat16": "bf16"}
PLACES = {"attention": "attention", "ffn": "FFN"}


def children(results: Results) -> Figure:
    """The same scores searched with the times of several GPUs: what each variant takes there, in shares of the parent's
    layer, and how many layers of the child have it. Above the bars: the predicted loss in nats per token.

    One row per shape; with times of another shape the scores are still the parent's. Nothing is drawn, so there are no
    error bars.
    """
    shapes = [shape for shape in results.shapes if results.found(shape)]
    figure, axes = plots.grid(2 * max(1, len(shapes)), 2, 2.5)
    for row, shape in enumerate(shapes):
        for column, subblock in enumerate(PLACES):
            colours = _colours(results, subblock)
            found = results.found(shape)
            _times(axes[2 * row, column], found, subblock, colours, shape)
            _layers(axes[2 * row + 1, column], found, subblock, colours)
    for column, subblock in enumerate(PLACES):
        axes[0, column].legend(ncols=3, title=PLACES[subblock], loc="upper right")
    return figure


def _colours(results: Results, subblock: str) -> dict[str, str]:
    return {PARENT: plots.BLACK} | dict(zip(results.variants(subblock)[1:], plots.CYCLE, strict=False))


def _times(axis: Axes, found: list[Json], subblock: str, colours: dict[str, str], shape: str) -> None:
    places = np.arange(len(found))
    for variant, colour in colours.items():
        shares = [choice["times"][subblock].get(variant, np.nan) for choice in found]
        axis.plot(places, shares, "o-", color=colour, label=variant, lw=0.8, ms=4)
    highest = max(choice["times"][subblock][PARENT] for choice in found)
    axis.set(ylim=(0, 1.9 * highest), ylabel="time / parent's layer", title=f"{shape}: times of {PLACES[subblock]}")
    axis.set_xticks(places, [])


def _layers(axis: Axes, found: list[Json], subblock: str, colours: dict[str, str]) -> None:
    places, below = np.arange(len(found)), np.zeros(len(found))
    for variant, colour in colours.items():
        counts = np.array([choice["layers"][subblock].get(variant, 0) for choice in found])
        axis.bar(places, counts, bottom=below, color=colour, width=0.8)
        below += counts
    for place, choice in zip(places, found, strict=True):
        words = f" {choice['value']:.3f}"
        axis.text(place, below[place], words, ha="center", va="bottom", fontsize=6, rotation=90)
    names = [f"{choice['hardware']} {SHORT.get(choice['dtype'], choice['dtype'])}" for choice in found]
    axis.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
    axis.set(ylim=(0, 1.3 * max(below)), ylabel="layers", title=f"the child's {PLACES[subblock]}")
    axis.grid(False)
