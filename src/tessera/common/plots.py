"""One style for all figures: SVG with the same bytes every time, colours that colour-blind readers tell apart.

Colours are those of Okabe and Ito. A line's name stands at its end where there is room; a legend is the second choice.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tessera.common import files

BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW, GREY, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#C9B800",  # Okabe and Ito's yellow, darker: theirs is not seen on white
    "#8A8A8A",
    "#222222",
)
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW, GREY)
#: Inches.
WIDTH = 8.0

STYLE: dict[str, Any] = {
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "errorbar.capsize": 2,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "svg.hashsalt": "tessera",
    "svg.fonttype": "path",  # looks the same where the font is missing
    "axes.prop_cycle": matplotlib.cycler(color=CYCLE),
}


def grid(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, Any]:
    """A figure in the project's style, and its axes as a (rows, columns) array; height is that of a row, in inches."""
    plt.rcdefaults()
    plt.rcParams.update(STYLE)
    return plt.subplots(rows, columns, figsize=(WIDTH, height * rows), squeeze=False, **options)


#: Matplotlib's name of a part of a figure, a digest of what is in it.
_NAME = re.compile(r"\b[a-z][0-9a-f]{10}\b")
#: A number that is a place or a length, or else something whose numbers are not: factors, styles, texts.
_PLACES = re.compile(r'(?:scale|matrix)\([^)]*\)|style="[^"]*"|<!--.*?-->|(-?\d+\.\d{3,})', re.DOTALL)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as SVG, without a date and with places to a hundredth of a point, and close it.

    Finer digits are invisible, and differ between processors.
    """
    with files.replacing(path) as hidden:
        figure.savefig(hidden, format="svg", metadata={"Date": None, "Creator": "tessera"})
        hidden.write_text(_portable(hidden.read_text(encoding="utf-8")), encoding="utf-8")
    plt.close(figure)


def _portable(svg: str) -> str:
    """The same picture with rounded places, and with names of its parts that do not depend on them."""
    names = dict.fromkeys(_NAME.findall(svg))
    numbered = {name: f"part{number}" for number, name in enumerate(names)}
    return _NAME.sub(lambda found: numbered[found[0]], _PLACES.sub(_rounded, svg))


def _rounded(found: re.Match[str]) -> str:
    return f"{round(float(found[1]), 2) + 0.0:.2f}".rstrip("0").rstrip(".") if found[1] else found[0]


def line(colour: str, style: str = "-", label: str = "", marker: str = "") -> Line2D:
    """A line for a legend."""
    return Line2D([], [], color=colour, ls=style, label=label, marker=marker, mfc="none" if style == "none" else colour)


def log_scale(axis: Axis) -> None:
    """Make an axis logarithmic, with plain numbers at 1, 2 and 5 of each power of ten, or at many powers alone."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.15g}"))
    axis.set_minor_formatter(NullFormatter())


def label_ends(figure: Figure, ends: Mapping[Axes, Sequence[tuple[str, float, str]]], size: float = 8) -> None:
    """Write names right of a figure's axes at the heights, in data, where their lines end.

    ends holds (name, y, colour) of each line by axes. Names that would overlap are moved apart. Call it once, when the
    limits of all axes are settled: laying out the figure takes longer than anything else.
    """
    figure.get_layout_engine().execute(figure)
    for axes, lines in ends.items():
        _label_ends(axes, lines, size)


def _label_ends(axes: Axes, ends: Sequence[tuple[str, float, str]], size: float) -> None:
    box, figure = axes.get_window_extent(), axes.figure
    height = 1.15 * size * figure.dpi / 72 / box.height  # of a line of text, in shares of the axes' height
    order = sorted(ends, key=lambda end: end[1])
    spots = [float(axes.transAxes.inverted().transform(axes.transData.transform((0, y)))[1]) for _, y, _ in order]
    places = spread(spots, height, 0.0, 1.0)
    for (name, _, colour), place in zip(order, places, strict=True):
        axes.annotate(
            name,
            (1.0, place),
            xycoords="axes fraction",
            xytext=(4, 0),
            textcoords="offset points",
            color=colour,
            fontsize=size,
            va="center",
            annotation_clip=False,
        )


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move ascending places until neighbours are `gap` apart: upwards, and where there is no room, down again."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + gap if found else low))
    over = max(0.0, found[-1] - high) if found else 0.0
    for i in reversed(range(len(found))):
        limit = high if i == len(found) - 1 else found[i + 1] - gap
        found[i] = min(found[i], limit) if over else found[i]
    return found
