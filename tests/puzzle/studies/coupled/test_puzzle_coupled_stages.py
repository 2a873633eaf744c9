"""The stages of coupled distillation, on a tiny parent and a tiny token stream."""

import math
from xml.etree import ElementTree

import numpy as np
import pytest
import small_chain
import small_reports

from tessera.common import files
from tessera.puzzle.search import block_library
from tessera.puzzle.studies.coupled.pairs import MARK
from tessera.puzzle.studies.coupled.report import REPORT
from tessera.puzzle.studies.coupled.stages import children as puzzle_coupled_children
from tessera.puzzle.studies.coupled.stages import library as puzzle_coupled_library
from tessera.puzzle.studies.coupled.stages import report as puzzle_coupled_report
from tessera.puzzle.studies.coupled.stages import scores as puzzle_coupled_scores
from tessera.puzzle.studies.coupled.stages import search
from tessera.puzzle.studies.coupled.stages import survivors as puzzle_coupled_survivors

JOBS, SPEEDUPS = 2, [1.3, 2.0]
PARAMS = small_chain.PARAMS | {
    "coupled": {
        "jobs": JOBS,
        "speedups": SPEEDUPS,
        "diverse": 1,
        "min_difference": 1,
        "ridges": [0.01, 1.0],
        "distillation": small_chain.OPTIMISER | {"tokens": 120},
        "windows": 4,
        "healing": small_chain.OPTIMISER | {"tokens": 80},
    }
}


def params(stage):
    return small_chain.of(stage, PARAMS)


@pytest.fixture(scope="module")
def out(parent, tokens, tmp_path_factory):
    """Everything that the study makes, with what it needs of the main chain."""
    out, place = tmp_path_factory.mktemp("coupled"), parent()
    small_chain.make(out, place, tokens)
    library, first, survivors = [out / "library"], out / "search/here/library.json", out / "survivors.json"
    puzzle_coupled_survivors.main(params(puzzle_coupled_survivors), [first], survivors)
    coupled = [out / f"coupled/part_{part}" for part in range(JOBS)]
    scores = [out / f"coupled_scores/part_{part}.json" for part in range(JOBS)]
    for part in range(JOBS):
        puzzle_coupled_library.main(
            params(puzzle_coupled_library), part, place, tokens, library, survivors, coupled[part]
        )
    for part in range(JOBS):
        puzzle_coupled_scores.main(
            params(puzzle_coupled_scores), part, place, tokens, library, coupled, survivors, scores[part]
        )
    search.main(params(search), "here", scores, first, out / "both.json", out / "children.json")
    puzzle_coupled_children.main(
        params(puzzle_coupled_children), place, tokens, library, coupled, out / "children.json", out / "run.json"
    )
    return out


def report(out, root):
    named = small_reports.arguments(REPORT, root)
    puzzle_coupled_report.main(
        params(puzzle_coupled_report),
        sorted((out / "coupled").iterdir()),
        sorted((out / "coupled_scores").iterdir()),
        out / "search/here/library.json",
        [out / "run.json"],
        **named,
    )
    return named


def test_every_survivor_is_trained_and_scored(out):
    pairs = files.read_json(out / "survivors.json")["pairs"]
    records = {path.stem[6:]: files.read_json(path) for path in (out / "coupled").glob("*/*.json")}
    assert {layer: sorted(found) for layer, found in records.items()} == pairs
    for found in records.values():
        for record in found.values():
            assert record[record["kept"]]["per_token"] <= record["decoupled"]["per_token"]
    scores = {}
    for path in (out / "coupled_scores").iterdir():
        scores |= files.read_json(path)
    wanted = {layer: sorted([*own, *(pair + MARK for pair in own)]) for layer, own in pairs.items()}
    assert {layer: sorted(found) for layer, found in scores.items()} == wanted


def test_a_pair_with_the_parent_s_ffn(out, parent, tokens, tmp_path):
    """Decoupled, it scores as its attention alone; coupled, its FFN is another, and it is nearer to the parent."""
    pair, survivors, place = "no_op+parent", tmp_path / "survivors.json", parent()
    files.write_json(survivors, {"pairs": {"2": [pair]}})
    library = [out / "library"], [tmp_path / "part_0"]
    puzzle_coupled_library.main(
        params(puzzle_coupled_library), 0, place, tokens, library[0], survivors, tmp_path / "part_0"
    )
    puzzle_coupled_scores.main(
        params(puzzle_coupled_scores), 0, place, tokens, *library, survivors, tmp_path / "scores.json"
    )
    found, first = files.read_json(tmp_path / "scores.json")["2"], files.read_json(out / "scores.json")["2"]
    assert found[pair]["kl_div"] == pytest.approx(first["attention"]["no_op"]["kl_div"], rel=1e-4)
    assert found[pair + MARK]["kl_div"] < found[pair]["kl_div"]
    assert files.read_json(tmp_path / "part_0/layer_2.json")[pair]["kept"] != "decoupled"


def test_three_children_at_every_budget(out):
    both, rows = block_library.read(out / "both.json"), files.read_json(out / "run.json")
    assert [(row["speedup"], row["method"]) for row in rows] == [
        (speedup, method) for speedup in SPEEDUPS for method in ("decoupled", "coupled", "searched")
    ]
    for row in rows:
        assert row["runtime_ms"] <= row["budget_ms"] * (1 + 1e-9)
        assert all(block in both[f"layer_{i}"] for i, block in enumerate(row["blocks"]))
        assert row["healed"]["kl_div"] != row["assembled"]["kl_div"] and row["curve"]["tokens"][-1] == 80
    for first, same, second in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        assert not any(block.endswith(MARK) for block in first["blocks"])
        assert any(block.endswith(MARK) for block in same["blocks"])
        assert second["promised"] <= min(first["promised"], same["promised"]) + 1e-9
        assert first["assembled"]["kl_div"] != same["assembled"]["kl_div"]


def test_the_report_says_what_was_found(out, tmp_path):
    named, rows = report(out, tmp_path), files.read_json(out / "run.json")
    pairs, children = (files.read_csv(tmp_path / f"tables/{name}.csv") for name in ("pairs", "children"))
    found = files.read_json(named["metrics"])
    assert (
        found["pairs"]["all"]["count"]
        == len(pairs)
        == sum(one["count"] for kind, one in found["pairs"].items() if kind != "all")
    )
    assert sum(one["count"] for one in found["attentions"].values()) == len(pairs)
    dropped = pairs[pairs.kind.str.startswith("no attention")]
    mean = math.exp(np.log(dropped.loss / dropped.decoupled).mean())
    assert found["attentions"]["no attention"]["loss_ratio"]["value"] == pytest.approx(mean)
    assert (pairs.loss <= pairs.decoupled).all() and found["pairs"]["all"]["loss_ratio"]["value"] <= 1
    assert sum(found["pairs"]["all"][f"kept_{phase}"] for phase in ("decoupled", "refitted", "trained")) == len(pairs)
    for method, place in (("coupled", 1), ("searched", 2)):
        logs = [
            math.log(rows[3 * n + place]["healed"]["kl_div"] / rows[3 * n]["healed"]["kl_div"])
            for n in range(len(SPEEDUPS))
        ]
        assert found["children"][method]["healed"]["value"] == pytest.approx(math.exp(np.mean(logs)))
    itself = {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["children"]["decoupled"] == {"assembled": itself, "healed": itself}
    mine, theirs = rows[1]["assembled"], rows[0]["assembled"]
    assert children.assembled_difference[1] == pytest.approx(mine["kl_div"] - theirs["kl_div"])
    assert children.assembled_difference_se[0] == 0 < children.assembled_difference_se[1]
    runs = small_reports.runs(tmp_path)
    assert set(runs) == {f"here {row['speedup']:g}x {row['method']}" for row in rows}
    assert all(run.metrics["healed_kl_div"] > 0 for run in runs.values())
    ElementTree.parse(tmp_path / "figures/coupled.svg")


def test_the_report_repeats_byte_by_byte(out, tmp_path):
    contents = []
    for _ in range(2):
        report(out, tmp_path)
        contents.append(small_reports.content(tmp_path))
    assert contents[0] == contents[1]


def test_a_pair_that_is_not_in_the_space_is_named(out, parent, tokens, tmp_path):
    survivors = tmp_path / "survivors.json"
    files.write_json(survivors, {"pairs": {"1": ["linear+parent"]}})
    with pytest.raises(ValueError, match="layer 1: attention variant 'linear' is not one of parent, kv1, no_op"):
        puzzle_coupled_library.main(
            params(puzzle_coupled_library), 0, parent(), tokens, [out / "library"], survivors, tmp_path / "library"
        )
