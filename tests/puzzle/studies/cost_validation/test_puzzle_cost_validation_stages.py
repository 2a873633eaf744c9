"""The stage that validates the cost model."""

import json

import pytest

from tessera.common import files
from tessera.puzzle.studies.cost_validation.stages import report
from tessera.puzzle.studies.cost_validation.stages.report import CostValidationParams

NAMES = ("throughput", "interpolation", "roofline")
PARAMS = {
    "software": ["trtllm"],
    "dtypes": ["fp8"],
    "workloads": [[128, 128], [2048, 128]],
    "roofline": {"batch": 16, "prefill": 32, "decode": 4},
}


def test_writes_tables_figures_and_numbers(tmp_path):
    figures, tables = [tmp_path / f"{n}.svg" for n in NAMES], [tmp_path / f"{n}.csv" for n in NAMES]
    params = CostValidationParams.model_validate_json(json.dumps(PARAMS))
    report.main(params, figures, tables, tmp_path / "results.md", tmp_path / "metrics.json")
    assert all(path.read_text().startswith("<?xml") for path in figures)
    metrics = files.read_json(tmp_path / "metrics.json")
    one = metrics["throughput"]["trtllm"]["2048/128"]
    assert one["ratio_error"] == pytest.approx(one["ratio"] / 1.92 - 1)
    assert one["child_error"] == pytest.approx(one["child"] / 653 - 1)
    assert "child_error" not in metrics["throughput"]["trtllm"]["128/128"]
    assert metrics["interpolation"]["trtllm"]["fp8"]["decode"]["128"]["points"] > 50
    assert metrics["roofline"]["trtllm"]["fp8"]["decode_min"] > 1
    table = files.read_csv(tmp_path / "throughput.csv")
    assert list(table.decode) == [128, 128] and list(table.software) == 2 * ["trtllm 1.3.0rc20"]
    assert f"| TensorRT-LLM | 2048/128 | 1.92 | {one['ratio']:.2f} (" in (tmp_path / "results.md").read_text()


def test_unknown_figures_are_refused(tmp_path):
    params = CostValidationParams.model_validate_json(json.dumps(PARAMS))
    with pytest.raises(ValueError, match=r"--figures: there is no other\.svg; valid are throughput"):
        report.main(params, [tmp_path / "other.svg"], [], tmp_path / "a", tmp_path / "b")
