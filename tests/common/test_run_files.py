"""Run files refuse, where they are written, what MLflow would refuse."""

from pathlib import Path

import pytest

from tessera.common import run_files
from tessera.common.run_files import RunRecord


def test_round_trip(tmp_path: Path) -> None:
    record = RunRecord(experiment="a/b", name="c", params={"x": [1, 2]}, history={"loss": [(0, 2.0), (3, 1.5)]})
    record.write(tmp_path / "run.json")
    assert run_files.read(tmp_path / "run.json") == record


@pytest.mark.parametrize("name", ["Gaussian, 0.5: margin", "", "a" * 251, "κ"])
@pytest.mark.parametrize("field", ["metrics", "history"])
def test_names_that_mlflow_would_refuse(field: str, name: str) -> None:
    value = 1.0 if field == "metrics" else [(0, 1.0)]
    with pytest.raises(ValueError, match="valid are at most 250 letters, digits, spaces and _-"):
        RunRecord(experiment="a/b", name="c", **{field: {name: value}})


def test_a_curve_and_a_final_value_of_one_name() -> None:
    with pytest.raises(ValueError, match="loss: a final value and a curve of one name become one curve"):
        RunRecord(experiment="a/b", name="c", metrics={"loss": 1.0}, history={"loss": [(0, 2.0)]})


def test_not_finite_values_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="loss"):
        RunRecord(experiment="a/b", name="c").model_copy(update={"metrics": {"loss": float("nan")}}).write(
            tmp_path / "x.json"
        )
