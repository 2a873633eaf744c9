"""What the toy study shows, from its result files."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from tessera.common import markdown
from tessera.common.files import Json
from tessera.common.publish import Report
from tessera.common.run_files import RunRecord
from tessera.toy.params import ToyParams

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Results:
    """Everything that the study wrote."""

    params: ToyParams
    walks: dict[str, pd.DataFrame]
    """Mean square distance by step, by the name of the set."""


def results(found: Results) -> str:
    """The mean square distance after the last step, by set."""
    rows = [(name, f"{table['distance'].iloc[-1]:.1f}") for name, table in found.walks.items()]
    return "\n".join(markdown.table(("set", "mean square distance"), rows))


def distance(found: Results) -> "Figure":
    """Mean square distance against the number of steps, one line per set. Dashed: its expectation."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    for name, table in found.walks.items():
        axes.plot(table["step"], table["distance"], label=name)
    axes.plot([0, found.params.steps], [0, found.params.steps], "k--")
    axes.set(xlabel="step", ylabel="mean square distance")
    axes.legend()
    return figure


def metrics(found: Results) -> Json:
    """The last mean square distance over its expectation, by set."""
    return {name: float(table["distance"].iloc[-1] / found.params.steps) for name, table in found.walks.items()}


def runs(found: Results) -> Iterator[RunRecord]:
    """One run per set of walks."""
    for name, table in found.walks.items():
        curve = [(int(step), float(value)) for step, value in table.itertuples(index=False)]
        yield RunRecord(
            experiment="toy/walks",
            name=name,
            job=f"toy_walks/{name}",
            params={"toy": {"steps": found.params.steps, "walks": found.params.walks[name]}},
            history={"distance": curve},
            figures=["distance"],
        )


REPORT: Report[Results] = Report(texts={"results": results}, figures={"distance": distance}, metrics=metrics, runs=runs)
