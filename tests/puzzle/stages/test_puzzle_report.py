"""The stage that publishes the main chain."""

import json
import xml.etree.ElementTree as ET

import pytest

from tessera import params
from tessera.common import files, run_files
from tessera.puzzle.report import REPORT
from tessera.puzzle.stages import report


@pytest.fixture(scope="module")
def study(repository):
    section = params.load(repository / "params.yaml").puzzle.model_dump(mode="json")
    return report.Params.model_validate_json(json.dumps({"puzzle": section, "seed": 0}))


def publish(chain, study, root, tables=REPORT.tables, figures=()):
    """Write results, some tables and figures, metrics and runs into root."""
    report.main(
        study,
        **chain,
        texts=[root / "results.md"],
        tables=[root / f"{name}.csv" for name in tables],
        figures=[root / f"{name}.svg" for name in figures],
        metrics=root / "metrics.json",
        runs=root / "runs.jsonl",
    )


def test_the_whole_report_repeats_byte_by_byte(chain, study, tmp_path):
    publish(chain, study, tmp_path / "first", figures=REPORT.figures)
    for path in (tmp_path / "first").glob("*.svg"):
        content = path.read_bytes()
        assert ET.fromstring(content).tag.endswith("svg") and b"<dc:date>" not in content
    assert len(files.read_csv(tmp_path / "first/evaluation.csv")) > 50
    publish(chain, study, tmp_path / "second", figures=("prediction",))
    for path in (tmp_path / "second").iterdir():
        if path.name != "runs.jsonl":  # it has the paths of the figures
            assert path.read_bytes() == (tmp_path / "first" / path.name).read_bytes()
    first, second = (run_files.read(tmp_path / name / "runs.jsonl") for name in ("first", "second"))
    assert len(first) > 50 and [run.metrics for run in first] == [run.metrics for run in second]
    drawn = {path for run in first for path in run.figures}
    assert drawn <= {str(path) for path in (tmp_path / "first").glob("*.svg")} and len(drawn) > 5


def without_errors(value):
    """JSON as it is when scores and evaluation are of one document."""
    if isinstance(value, dict):
        return {key: None if key.endswith("_se") else without_errors(child) for key, child in value.items()}
    return [without_errors(child) for child in value] if isinstance(value, list) else value


def test_standard_errors_that_are_undefined_are_not_zero(chain, study, tmp_path):
    chain = dict(chain)
    for key in ("scores", "evaluation", "frontier"):
        copies = [tmp_path / key / str(n) / path.parent.name / path.name for n, path in enumerate(chain[key])]
        for path, copy in zip(chain[key], copies, strict=True):
            files.write_json(copy, without_errors(files.read_json(path)))
        chain[key] = copies
    publish(chain, study, tmp_path / "report", figures=("frontier", "prediction", "evaluation", "scores"))
    assert "± n/a" in (tmp_path / "report/results.md").read_text()
    for run in run_files.read(tmp_path / "report/runs.jsonl"):
        assert not any(name.endswith("_se") for name in run.metrics)


def test_items_that_the_report_does_not_have_are_refused(chain, study, tmp_path):
    with pytest.raises(ValueError, match=r"--figures: there is no frontiers\.svg; expected frontier"):
        publish(chain, study, tmp_path, figures=["frontiers"])
    with pytest.raises(ValueError, match=r"--tables: there is no cost\.csv; expected results"):
        publish(chain, study, tmp_path, tables=["cost"])
