"""The stage that validates the cost model."""

import json

import pytest
import small_reports

from tessera.common import files
from tessera.puzzle.studies.cost_validation.params import CostValidationParams
from tessera.puzzle.studies.cost_validation.report import REPORT
from tessera.puzzle.studies.cost_validation.stages import report

PARAMS = {
    "software": ["trtllm"],
    "hardware": ["l40s", "a100-sxm"],
    "dtypes": ["fp8"],
    "workloads": [[128, 128], [2048, 128]],
    "roofline": {"batch": 16, "prefill": 32, "decode": 4},
}


def test_writes_tables_figures_and_numbers(tmp_path):
    named = small_reports.arguments(REPORT, tmp_path)
    report.main(CostValidationParams.model_validate_json(json.dumps(PARAMS)), **named)
    assert all(path.read_text().startswith("<?xml") for path in named["figures"])
    metrics = files.read_json(tmp_path / "metrics.json")
    ratio = metrics["throughput"]["trtllm"]["2048/128"]
    assert ratio["ratio_error"] == pytest.approx(ratio["ratio"] / 1.92 - 1)
    assert ratio["child_error"] == pytest.approx(ratio["child"] / 653 - 1)
    assert "child_error" not in metrics["throughput"]["trtllm"]["128/128"]
    assert metrics["interpolation"]["trtllm"]["fp8"]["decode"]["128"]["points"] > 50
    # An A100 has no fp8.
    assert metrics["gpus"].keys() == {"l40s", "largest_decode_median", "largest_prefill_median"}
    decode = metrics["gpus"]["l40s"]["fp8"]["decode"]
    assert decode["points"] > 100 and 0 < decode["median"] <= metrics["gpus"]["largest_decode_median"]
    assert metrics["roofline"]["trtllm"]["fp8"]["decode_min"] > 1
    table = files.read_csv(tmp_path / "tables/throughput.csv")
    assert list(table.decode) == [128, 128] and list(table.software) == 2 * ["trtllm 1.3.0rc20"]
    assert f"| TensorRT-LLM | 2048/128 | 1.92 | {ratio['ratio']:.2f} (" in (tmp_path / "texts/results.md").read_text()
    runs = small_reports.runs(tmp_path)
    assert runs["TensorRT-LLM 2048/128"].metrics["ratio_error"] == ratio["ratio_error"]
    assert set(runs) == {f"TensorRT-LLM {workload}" for workload in ("128/128", "2048/128")}
