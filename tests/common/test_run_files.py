"""Run files: what is written is read back, and what MLflow would refuse is not written."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import sampled_from, text
from mlflow.utils import validation

from tessera.common import run_files
from tessera.common.run_files import RunRecord


def test_round_trip(tmp_path: Path) -> None:
    record = RunRecord(
        experiment="a/b", name="c", job="a", params={"x": [1, 2]}, history={"loss": [(0, 2.0), (3, 1.5)]}
    )
    other = record.model_copy(update={"name": "a"})
    run_files.write(tmp_path / "runs.jsonl", [record, other])
    assert run_files.read(tmp_path / "runs.jsonl") == [other, record]  # by name


def test_names_are_unique_within_an_experiment(tmp_path: Path) -> None:
    record = RunRecord(experiment="a/b", name="c", job="a")
    path = tmp_path / "runs.jsonl"
    run_files.write(path, [record, record.model_copy(update={"experiment": "a/d"})])
    line = path.read_text().splitlines()[0]
    with pytest.raises(ValueError, match=r"runs\.jsonl: two runs are called a/b: c; a name must be unique"):
        run_files.write(path, [record, record])
    path.write_text(f"{line}\n{line}\n")
    with pytest.raises(ValueError, match="two runs are called a/b: c"):
        run_files.read(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ("[]", "holds a list; expected the object of a run"),
        ('{"experiment": "a"}', "name is missing"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "runs.jsonl"
    run_files.write(path, [RunRecord(experiment="a/b", name="c", job="a")])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=rf"runs\.jsonl, line 2: .*{words}"):
        run_files.read(path)


@pytest.mark.parametrize("job", ["Rule", "rule/", "rule//a", "rule/two words", ""])
def test_a_job_is_named_as_its_log(job: str) -> None:
    with pytest.raises(ValueError, match="job"):
        RunRecord(experiment="a/b", name="c", job=job)


BAD_NAMES = [
    "Gaussian, 0.5: margin",
    "",
    "a" * 251,
    "κ",
    "a//b",
    "/x",
    "x/",
    "..",
    ".",
    "../x",
    "a/./b",
    "..x",
    "a@b",
    "a\n",
]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("field", ["metrics", "history"])
def test_names_that_mlflow_would_refuse(field: str, name: str) -> None:
    value = 1.0 if field == "metrics" else [(0, 1.0)]
    with pytest.raises(ValueError, match="must have at most 250 letters, digits, spaces and _-"):
        RunRecord(experiment="a/b", name="c", job="a", **{field: {name: value}})


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("parameter", lambda name: {"params": {name: 1}}),
        ("parameter", lambda name: {"params": {name: {"key": 1}} if "@" in name else {name: 1}}),
        ("tag", lambda name: {"tags": {name: "x"}}),
        ("experiment", lambda name: {"experiment": name}),
    ],
)
def test_names_of_other_things(kind: str, fields: Callable[[str], dict], name: str) -> None:
    with pytest.raises(ValueError, match=f"{kind} .* must have at most 250 letters"):
        RunRecord(**{"experiment": "a/b", "name": "c", "job": "a"} | fields(name))


@given(text("ab/.:@- é\n", max_size=8) | sampled_from(["a" * 250, "a" * 251]))
def test_no_name_that_mlflow_refuses_is_written(name: str) -> None:
    try:
        RunRecord(experiment="a/b", name="c", job="a", metrics={name: 1.0}, params={name: 1}, tags={name: "x"})
    except ValueError:
        return
    validation._validate_metric(name, 1.0, 0, 0)
    validation._validate_param(name, "1")
    validation._validate_tag(name, "x")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "a" * 251}, "name"),
        ({"note": "a" * 8001}, "note"),
        ({"tags": {"a": "b" * 8001}}, r"tags\.a"),
        ({"tags": {"stage.key": "0"}}, "tag 'stage.key': set by the import"),
        ({"tags": {"mlflow.runName": "other"}}, "tag 'mlflow.runName': set by the import"),
        ({"history": {"loss": [(2**63, 1.0)]}}, r"history\.loss\.0\.0"),
        ({"metrics": {"loss": float("inf")}}, r"metrics\.loss = inf"),
        ({"params": {"a": {"b": 1}, "a.b": 2}}, "parameter 'a.b': two nested keys"),
        ({"figures": ["x/loss.svg", "y/loss.svg"]}, "two are called 'loss.svg'"),
    ],
)
def test_what_mlflow_would_cut_or_mix_up_is_not_written(tmp_path: Path, fields: dict, words: str) -> None:
    record = RunRecord(experiment="a/b", name="c", job="a").model_copy(update=fields)
    with pytest.raises(ValueError, match=rf"x\.jsonl: .*{words}") as caught:
        run_files.write(tmp_path / "x.jsonl", [record])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x.jsonl").exists()


def test_a_truth_value_is_no_metric() -> None:
    with pytest.raises(ValueError, match="valid number"):
        RunRecord(experiment="a/b", name="c", job="a", metrics={"loss": True})


def test_an_empty_section_is_not_no_section() -> None:
    assert RunRecord(experiment="a", name="c", job="a", params={"a": {}, "b": {"c": None}}).flat_params() == {
        "a": "{}",
        "b.c": "null",
    }


def test_a_curve_and_a_final_value_of_one_name() -> None:
    with pytest.raises(ValueError, match="loss: a final value and a curve of one name become one curve"):
        RunRecord(experiment="a/b", name="c", job="a", metrics={"loss": 1.0}, history={"loss": [(0, 2.0)]})


def test_not_finite_values_are_not_written(tmp_path: Path) -> None:
    record = RunRecord(experiment="a/b", name="c", job="a").model_copy(update={"metrics": {"loss": float("nan")}})
    with pytest.raises(ValueError, match="loss"):
        run_files.write(tmp_path / "x.jsonl", [record])
