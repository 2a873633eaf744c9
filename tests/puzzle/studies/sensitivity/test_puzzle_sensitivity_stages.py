"""The stages of the search's sensitivity."""

import json

import pytest
import small_reports

from tessera.common import files
from tessera.puzzle.studies.sensitivity.report import REPORT
from tessera.puzzle.studies.sensitivity.stages import report, resample

PARAMS = {"sensitivity": {"metric": "kl_div", "speedups": [1.1, 1.4], "draws": 4}, "seed": 5}


def test_from_scores_to_figure_table_and_numbers(chain, tmp_path):
    params = resample.Params.model_validate_json(json.dumps(PARAMS))
    made = []
    for target, costs in zip(("h100", "cpu"), chain["costs"], strict=True):
        made.append(tmp_path / f"{target}.json")
        resample.main(params, target, chain["scores"], costs, made[-1])
    again = tmp_path / "again.json"
    resample.main(params, "cpu", chain["scores"][::-1], chain["costs"][1], again)
    assert again.read_bytes() == made[1].read_bytes()
    named = small_reports.arguments(REPORT, tmp_path)
    settings = report.Params.model_validate_json(json.dumps(PARAMS))
    report.main(settings, made, named["tables"], named["figures"], named["metrics"], named["runs"])
    assert named["figures"][0].read_text().startswith("<?xml")
    table = files.read_csv(named["tables"][0])
    assert list(zip(table.target, table.speedup, strict=True)) == [(t, s) for t in ("h100", "cpu") for s in (1.1, 1.4)]
    assert (table.regret >= -1e-12).all() and (table.regret_low <= table.regret_high).all()
    metrics = files.read_json(named["metrics"])
    assert metrics["cpu"]["1.4"]["regret_share"] == pytest.approx(table.regret[3] / table.value[3])
    runs = small_reports.runs(tmp_path)
    assert set(runs) == {f"{target} {speedup:g}x" for target in ("h100", "cpu") for speedup in (1.1, 1.4)}
    assert runs["cpu 1.4x"].metrics["regret"] == metrics["cpu"]["1.4"]["regret"]
