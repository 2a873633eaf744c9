"""One library's children on several GPUs."""

import json

import chain_files
import pytest
import small_reports
from pydantic import ValidationError

from tessera.common import files
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.studies.gpus.params import GpusParams
from tessera.puzzle.studies.gpus.report import REPORT
from tessera.puzzle.studies.gpus.stages import choose, report

GPUS = {
    "hardware": ["l40s", "a100-sxm"],
    "dtypes": ["bfloat16", "fp8"],
    "shapes": ["llama-3.1-8b"],
    "workload": {"batch": 16, "prefill": 32, "decode": 4},
    "speedup": 1.2,
    "metric": "kl_div",
    "cosine": 0.04,
}
#: Of the scores.
LAYERS = 4


def test_from_scores_to_figure_table_and_numbers(chain, tmp_path):
    space = chain_files.SPACE.model_dump(mode="json")
    params = choose.Params.model_validate_json(json.dumps({"gpus": GPUS, "space": space}))
    config = tmp_path / "config.json"
    files.write_json(config, chain_files.PARENT.config.to_dict())
    choose.main(params, chain["scores"], config, tmp_path / "gpus.json")
    found = {(c["shape"], c["hardware"], c["dtype"]): c for c in files.read_json(tmp_path / "gpus.json")}
    assert len(found) == 8
    for shape in ("parent", "llama-3.1-8b"):
        assert "an A100 has no fp8 arithmetic" in found[shape, "a100-sxm", "fp8"]["refusal"]
    assert "timed are head_dim 128" in found["parent", "a100-sxm", "bfloat16"]["refusal"]
    for key in (
        ("parent", "l40s", "bfloat16"),
        ("llama-3.1-8b", "l40s", "fp8"),
        ("llama-3.1-8b", "a100-sxm", "bfloat16"),
    ):
        one = found[key]
        assert one["refusal"] is None and one["value"] > 0
        assert sum(one["layers"]["attention"].values()) == sum(one["layers"]["ffn"].values()) == LAYERS
        assert one["times"]["attention"][PARENT] + one["times"]["ffn"][PARENT] == pytest.approx(1)
        spent = sum(
            count * one["times"][place][v] for place, layers in one["layers"].items() for v, count in layers.items()
        )
        assert spent <= LAYERS / 1.2 + 1e-9
    named = small_reports.arguments(REPORT, tmp_path)
    report.main(
        GpusParams.model_validate_json(json.dumps(GPUS)), tmp_path / "gpus.json", named["tables"], named["figures"],
        named["metrics"], named["runs"],
    )  # fmt: skip
    assert named["figures"][0].read_text().startswith("<?xml")
    table = files.read_csv(named["tables"][0])
    assert len(table) == 8 and table.refusal.notna().sum() == 3
    metrics = files.read_json(named["metrics"])
    assert metrics["llama-3.1-8b"]["l40s"]["fp8"]["value"] == found["llama-3.1-8b", "l40s", "fp8"]["value"]
    assert set(small_reports.runs(tmp_path)) == {
        "parent l40s bfloat16", "parent l40s fp8", "llama-3.1-8b l40s bfloat16", "llama-3.1-8b l40s fp8",
        "llama-3.1-8b a100-sxm bfloat16",
    }  # fmt: skip


def test_a_gpu_that_was_not_timed_is_refused():
    with pytest.raises(ValidationError, match=r"'tpu' is no GPU of the kernel database; expected h100-sxm"):
        GpusParams.model_validate_json(json.dumps(GPUS | {"hardware": ["tpu"]}))
