from pathlib import Path

import pytest
import yaml

from tessera.common import files
from tessera.workflow import claims, pipeline
from tessera.workflow.claims import Claim

ROOT = Path(__file__).parents[2]

NEAR = {"claim": "x is two", "source": "us", "file": "a.json", "key": ["x"], "expected": 2.0, "tolerance": 0.1}


def write(root: Path, **claim: object) -> None:
    files.write_json(root / "reports/claims.yaml", {"study": {"name": claim}})  # JSON is YAML


@pytest.mark.parametrize(
    ("criterion", "value", "holds"),
    [
        ({"expected": 2.0, "tolerance": 0.1}, 2.09, True),
        ({"expected": 2.0, "tolerance": 0.1}, 2.11, False),
        ({"expected": 0.0, "tolerance": 0.0}, 0.0, True),
        ({"at_most": 1.0}, 1.0, True),
        ({"at_most": 1.0}, 1.01, False),
        ({"at_least": 1.0}, 0.99, False),
        ({"at_least": 1.0, "at_most": 2.0}, 1.5, True),
        ({"at_least": 1.0, "at_most": 2.0}, 2.5, False),
    ],
)
def test_criteria(criterion: dict, value: float, holds: bool) -> None:
    claim = Claim.model_validate_json(
        files.to_json({"claim": "c", "source": "s", "file": "a.json", "key": ["x"], **criterion})
    )
    assert claim.holds(value) is holds


@pytest.mark.parametrize(
    "criterion", [{}, {"expected": 1.0}, {"tolerance": 1.0}, {"expected": 1.0, "tolerance": 0.1, "at_most": 2.0}]
)
def test_a_claim_has_one_criterion(tmp_path: Path, criterion: dict) -> None:
    write(tmp_path, claim="c", source="s", file="a.json", key=["x"], **criterion)
    with pytest.raises(ValueError, match=r"study\.name: .*either `expected` with `tolerance`, or"):
        claims.verify(tmp_path)


def test_unknown_keys_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, **NEAR, tolerence=0.1)
    with pytest.raises(ValueError, match=r"study\.name: tolerence: unknown key; did you mean 'tolerance'"):
        claims.verify(tmp_path)


@pytest.mark.parametrize(
    ("content", "status"),
    [({"x": 2.05}, "pass"), ({"x": 3}, "fail"), ({}, "missing"), ({"x": "two"}, "missing"), ({"x": True}, "missing")],
)
def test_status(tmp_path: Path, content: dict, status: str) -> None:
    write(tmp_path, **NEAR)
    files.write_json(tmp_path / "a.json", content)
    assert [verdict.status for verdict in claims.verify(tmp_path)] == [status]


def test_a_missing_file_is_a_missing_result(tmp_path: Path) -> None:
    write(tmp_path, **NEAR)
    (verdict,) = claims.verify(tmp_path)
    assert verdict.status == "missing"


def test_ratio_of_two_values(tmp_path: Path) -> None:
    claim = {"claim": "c", "source": "s", "file": "a.json", "key": ["a", "x.y"], "relative_to": ["b"], "at_most": 1.0}
    write(tmp_path, **claim)
    files.write_json(tmp_path / "a.json", {"a": {"x.y": 1.0}, "b": 4.0})
    (verdict,) = claims.verify(tmp_path)
    assert verdict.value == claims.Measured(0.25)
    assert verdict.status == "pass"


RANK = {"claim": "x ranks y", "source": "us", "file": "a.json", "key": ["rank"], "at_least": 0.8}
NULL = {"predictor": "the size alone", "score": ["null"], "partial": ["partial"]}


@pytest.mark.parametrize(
    ("content", "null", "status"),
    [
        ({"null": 0.7}, {"partial": None}, "pass"),
        ({"null": 0.85}, {"partial": None}, "fail"),  # the null passes as well: nothing is shown
        ({}, {"partial": None}, "missing"),
        ({"rank": 0.7}, {"partial": None}, "fail"),  # whatever the null
        ({}, {"score": 0.85, "partial": None}, "fail"),
        ({}, {"score": 0.5, "partial": None}, "pass"),
        ({"null": 0.85, "partial": {"value": 0.5, "low": 0.2, "high": 0.7}}, {}, "pass"),
        ({"null": 0.85, "partial": {"value": 0.5, "low": -0.1, "high": 0.7}}, {}, "fail"),
        ({"null": 0.2, "partial": {"value": 0.5, "low": 0.0, "high": 0.7}}, {}, "fail"),
        ({"null": 0.2, "partial": {"value": None, "low": None, "high": None}}, {}, "missing"),
        ({"null": 0.2}, {}, "missing"),
    ],
)
def test_a_claim_must_say_more_than_its_null(tmp_path: Path, content: dict, null: dict, status: str) -> None:
    write(tmp_path, **RANK, null_model={key: value for key, value in (NULL | null).items() if value is not None})
    files.write_json(tmp_path / "a.json", {"rank": 0.9} | content)
    (verdict,) = claims.verify(tmp_path)
    assert verdict.status == status


@pytest.mark.parametrize(
    ("low", "high", "status"), [(0.81, 0.97, "pass"), (0.79, 0.97, "fail"), (None, 0.97, "missing")]
)
def test_an_interval_meets_a_criterion_with_both_ends(tmp_path: Path, low: float, high: float, status: str) -> None:
    write(tmp_path, **RANK)
    files.write_json(tmp_path / "a.json", {"rank": {"value": 0.9, "low": low, "high": high}})
    (verdict,) = claims.verify(tmp_path)
    assert verdict.status == status


def test_table_shows_the_null_next_to_its_claim(tmp_path: Path) -> None:
    write(tmp_path, **RANK, null_model=NULL)
    partial = {"value": 0.5, "low": 0.2, "high": 0.7}
    files.write_json(tmp_path / "a.json", {"rank": 0.9, "null": 0.85, "partial": partial})
    row = claims.table(claims.verify(tmp_path)).splitlines()[2]
    assert "| at least 0.8; partial association above 0 | 0.9 | the size alone: 0.85; partial 0.5 [0.2, 0.7] |" in row


def test_every_claim_about_ranks_states_its_null() -> None:
    """A rank correlation is high whenever size ranks both sides: only a partial one says more."""
    for study, listed in claims.read(ROOT / claims.CLAIMS).items():
        for name, claim in listed.items():
            if {"spearman", "kendall", "partial"} & set(claim.key):
                assert claim.null_model is not None and claim.null_model.partial, (
                    f"{study}.{name}: no null with a partial association"
                )


def test_table_shows_failures_and_keeps_its_columns(tmp_path: Path) -> None:
    write(tmp_path, **NEAR | {"claim": "x | y"})
    files.write_json(tmp_path / "a.json", {"x": 3})
    rows = claims.table(claims.verify(tmp_path)).splitlines()
    assert "x \\| y" in rows[2]
    assert rows[2].endswith("| 2 ± 0.1 | 3 |  | fail |")


def test_the_project_s_claims_can_be_read() -> None:
    assert claims.read(ROOT / claims.CLAIMS)


def test_files_of_the_codecheck_are_made_by_the_workflow(repository: Path) -> None:
    """Also of a study that is renamed."""
    manifest = yaml.safe_load((repository / "codecheck.yml").read_text())["manifest"]
    outs = [Path("reports/tables/claims.md")]  # by make verify, which is not a stage
    outs += [out for stage in pipeline.stages(repository / "dvc.yaml") for out in stage.outs]
    assert len(manifest) > 5
    paths = [Path(entry["file"]) for entry in manifest]
    assert [path for path in paths if not any(path.is_relative_to(out) for out in outs)] == []
