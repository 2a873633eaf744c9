"""The stages of the search for structure and bits, on a tiny parent, with an engine that counts a file's bytes."""

import json
from pathlib import Path

import pytest
import small_reports

from tessera.common import files
from tessera.common.params import check
from tessera.puzzle.costs import llama_cpp as timing
from tessera.puzzle.costs import measured
from tessera.puzzle.serve import speed_llama_cpp
from tessera.puzzle.studies.bits.params import BitsParams
from tessera.puzzle.studies.bits.report import REPORT
from tessera.puzzle.studies.bits.stages import costs, measure, report, scores_part, search

BITS = {
    "workload": {"batch": 1, "prefill": 6, "decode": 4},
    "threads": 1,
    "types": ["float16", "q8_0", "q4_0"],
    "windows": 2,
    "jobs": 2,
    "repeats": 2,
    "cosine": 0.05,
    "speeds": [1.2],
    "sizes": [0.7, 0.5],
    "test_windows": 3,
    "served": [1.2],
    "rounds": 3,
}
OTHERS = {
    "scores": {"jobs": 1, "windows": 4, "window": 19},
    "compute": {"device": "cpu", "dtype": "float32"},
    "seed": 3,
}


class Counting:
    """An engine whose milliseconds are the KiB of a file's matrices, and some overhead."""

    def __init__(self, path: Path, context: int, threads: int | None) -> None:
        from gguf import GGUFReader

        self.ms = 1 + sum(float(tensor.n_bytes) for tensor in GGUFReader(path).tensors) / 1e3

    def prefill_ms(self, tokens):
        return self.ms

    def step_ms(self, tokens, count):
        return self.ms / 10

    def complete(self, tokens, count, **_):
        return {"timings": {"prompt_ms": self.ms, "predicted_ms": self.ms * (count - 1) / 10}}


@pytest.fixture(scope="module")
def out(parent, library, variants, tokens, tmp_path_factory):
    """Where all files of the study are."""
    place = tmp_path_factory.mktemp("bits")
    values = {"bits": BITS, "space": variants.model_dump(mode="json"), **OTHERS}

    def params(stage):
        return check(stage.Params, {key: values[key] for key in stage.Params.model_fields})

    bits = BitsParams.model_validate_json(json.dumps(BITS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "Engine", Counting)
        patch.setattr(speed_llama_cpp, "Engine", Counting)
        patch.setattr(measured, "cache_bytes", lambda device: 20_000)
        for part in range(2):
            scores_part.main(params(scores_part), part, parent(), tokens, library(), place / f"scores_{part}.json")
        for dtype in BITS["types"]:
            table, info = place / f"{dtype}.parquet", place / f"{dtype}.json"
            costs.main(params(costs), dtype, parent() / "config.json", table, info)
        parts = [place / f"scores_{part}.json" for part in range(2)]
        tables = [place / f"{dtype}.parquet" for dtype in BITS["types"]]
        search.main(bits, parts, tables, place / "children.json")
        measure.main(params(measure), parent(), tokens, library(), place / "children.json", place / "measured.json")
    named = small_reports.arguments(REPORT, place)
    report.main(bits, place / "float16.json", place / "measured.json", **named)
    return place


def test_every_variant_is_scored_in_every_type(out):
    parts = [files.read_json(out / f"scores_{part}.json") for part in range(2)]
    assert [sorted(part["layers"]) for part in parts] == [["0", "2"], ["1"]]
    assert parts[0]["outside"].keys() == set(BITS["types"]) and "outside" not in parts[1]
    attention = parts[1]["layers"]["1"]["attention"]
    assert len(attention) == 1 + 3 * 3 + 1  # the parent as it is; parent, kv1, linear in three types; nothing
    assert attention["parent"]["kl_div"] == pytest.approx(0, abs=1e-6)
    own, kv1 = ([attention[f"{name}@{dtype}"]["kl_div"] for dtype in BITS["types"]] for name in ("parent", "kv1"))
    assert own == sorted(own) and own[-1] < attention["no_op"]["kl_div"]
    assert max(kv1) < 1.1 * min(kv1)


def test_children_keep_their_limits_and_are_run_as_they_are_written(out):
    points = files.read_json(out / "measured.json")["points"]
    assert [p["types"] for p in points if p["method"] == "types"] == BITS["types"]
    assert points[0]["speed"] == points[0]["size"] == 1
    for point in points:
        if point["budget"] == "speed":
            assert point["speed"] >= point["at"] * (1 - 1e-9) and "served" in point
        if point["budget"] == "size":
            assert point["size"] <= point["at"] * (1 + 1e-9)
    at = {(p["method"], p["budget"], p["at"]): p for p in points}
    for budget, limit in (("speed", 1.2), ("size", 0.7), ("size", 0.5)):
        for method in ("structure", "bits"):
            if (method, budget, limit) in at:
                assert at["joint", budget, limit]["value"] <= at[method, budget, limit]["value"] * (1 + 1e-6)
    exact, _, light = points[:3]
    assert light["measured"]["kl_div"] > 10 * abs(exact["measured"]["kl_div"])
    # The engine counts bytes, so that predicted and served speeds agree but for the overhead.
    assert light["served"]["file_mib"] < exact["served"]["file_mib"]


def test_report_tells_what_was_found(out):
    numbers = files.read_json(out / "metrics.json")
    assert numbers["types"]["float16"]["served_speed"] == 1
    assert numbers["speed"]["1.2"]["joint"]["speed"] >= 1.2 * (1 - 1e-9)
    ratios = [numbers["size"][limit]["ratio"] for limit in ("0.7", "0.5")]
    values = sorted(ratio["value"] for ratio in ratios)
    assert [numbers["size"][end]["value"] for end in ("least", "largest")] == values
    assert all(ratio["low"] <= ratio["value"] <= ratio["high"] for ratio in ratios)
    text = (out / "texts/results.md").read_text()
    assert "parent in q4_0" in text and "structure and bits at once" in text and "speed 1.2" in text
    table = files.read_csv(out / "tables/children.csv")
    points = files.read_json(out / "measured.json")["points"]
    assert len(table) == len(points) and (table.filter(like="subblocks_").sum(axis=1) == 6).all()
    runs = small_reports.runs(out)
    assert len(runs) == len(points) and runs["joint, size 0.5"].metrics["size"] <= 0.5
    assert (out / "figures/frontier.svg").read_text().startswith("<?xml")


def test_served_children_must_be_found():
    with pytest.raises(ValueError, match=r"served has 1\.5, which speeds has not"):
        BitsParams.model_validate_json(json.dumps(BITS | {"served": [1.5]}))
    with pytest.raises(ValueError, match=r"workload\.batch is 2"):
        BitsParams.model_validate_json(json.dumps(BITS | {"workload": BITS["workload"] | {"batch": 2}}))
