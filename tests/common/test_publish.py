"""What a report writes: each item into the file of its name."""

from pathlib import Path

import pandas as pd
import pytest

from tessera.common import files, run_files
from tessera.common.publish import Report
from tessera.common.run_files import RunRecord

RECORD = RunRecord(experiment="a/b", name="c", job="a", figures=["line", "missing"])


def line(values: list[float]):
    """A line."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    axes.plot(values)
    return figure


REPORT: Report[list[float]] = Report(
    texts={"results": lambda values: f"{len(values)} values\n"},
    tables={"numbers": lambda values: pd.DataFrame({"x": values})},
    figures={"line": line, "missing": line},
    metrics=lambda values: {"sum": sum(values)},
    runs=lambda values: [RECORD],
)


def test_each_item_is_written_into_the_file_of_its_name(tmp_path: Path) -> None:
    places = {"texts": ["results.md"], "tables": ["numbers.csv"], "figures": ["line.svg"]}
    paths = {kind: [tmp_path / name for name in names] for kind, names in places.items()}
    REPORT.write([1.0, 2.0], **paths, metrics=tmp_path / "metrics.json", runs=tmp_path / "runs.jsonl")
    assert (tmp_path / "results.md").read_text() == "2 values\n"
    assert files.read_csv(tmp_path / "numbers.csv")["x"].tolist() == [1.0, 2.0]
    assert "<svg" in (tmp_path / "line.svg").read_text()
    assert files.read_json(tmp_path / "metrics.json") == {"sum": 3.0}
    [record] = run_files.read(tmp_path / "runs.jsonl")
    assert record.figures == [str(tmp_path / "line.svg")]  # by path, and those alone that were drawn


def test_unknown_items_are_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--tables: there is no four\.csv; expected numbers"):
        REPORT.write([], tables=[tmp_path / "four.csv"], metrics=tmp_path / "a.json", runs=tmp_path / "b.jsonl")
    assert list(tmp_path.iterdir()) == []
