"""The stages of the comparison with other ways to prune, on a tiny parent and a tiny token stream."""

import pytest
import small_chain
import small_reports
from small_chain import TARGET

from tessera.common import files
from tessera.puzzle.studies.peers.report import REPORT
from tessera.puzzle.studies.peers.stages import child, report, speed, statistics

PARAMS = {
    **small_chain.PARAMS,
    **small_chain.EVALUATION,
    "costs": {"targets": {"here": TARGET}},
    "peers": {"target": "here", "speedup": 1.2, "methods": ["puzzle", "depth", "width", "flap"], "repeats": 2},
}


def params(stage, **changes):
    """PARAMS as the parameters of one stage."""
    return small_chain.of(stage, PARAMS | changes)


@pytest.fixture(scope="module")
def out(parent, tokens, tmp_path_factory):
    """The main chain up to the search."""
    out = tmp_path_factory.mktemp("peers")
    small_chain.make(out, parent(), tokens, PARAMS)
    return out


@pytest.fixture(scope="module")
def peers(out, parent, tokens):
    """The rows of all peers, and the directory of their files."""
    place = parent()
    statistics.main(params(statistics), place, tokens, out / "peers/statistics.safetensors")
    for peer in PARAMS["peers"]["methods"]:
        child.main(
            params(child), peer, place, tokens, [out / "library"], out / "search/here/library.json",
            out / "costs/here.parquet", out / "peers/statistics.safetensors", out / f"peers/{peer}.json",
        )  # fmt: skip
    return {peer: files.read_json(out / f"peers/{peer}.json") for peer in PARAMS["peers"]["methods"]}


def test_peers_keep_one_budget_and_see_one_text(peers):
    for peer, row in peers.items():
        assert row["runtime_ms"] <= row["budget_ms"] * (1 + 1e-9)
        assert row["predicted_speedup"] >= 1.2 - 1e-9
        assert row["curve"]["tokens"] == peers["puzzle"]["curve"]["tokens"]
        assert set(row["states"]) == {"assembled", "equal"}
        assert [block["ffn"].get("bias", False) for block in row["puzzle_blocks"]] == [peer == "flap"] * 3
    parents = {row["states"]["equal"]["in_domain"]["parent_perplexity"] for row in peers.values()}
    assert len(parents) == 1
    assert {*peers["depth"]["channels"]} == {0, 48}
    assert len({*peers["width"]["channels"]}) == 1 < len({*peers["flap"]["channels"]})


def test_peers_are_timed_and_reported(peers, out, parent, tmp_path):
    children, times = [out / f"peers/{peer}.json" for peer in peers], out / "peers/speed.json"
    speed.main(params(speed), parent(), children, times)
    named = small_reports.arguments(REPORT, tmp_path)
    report.main(params(report), children, times, **named)
    table, runs = files.read_csv(tmp_path / "tables/peers.csv"), small_reports.runs(tmp_path)
    assert list(table["peer"]) == ["puzzle", "depth", "width", "flap"] and set(runs) == set(peers)
    numbers = files.read_json(named["metrics"])
    for peer, row in peers.items():
        assert numbers[peer]["equal_in_domain_kl_div"] == row["states"]["equal"]["in_domain"]["kl_div"]
        assert runs[peer].metrics["equal_in_domain_kl_div"] == numbers[peer]["equal_in_domain_kl_div"]
        assert [tokens for tokens, _ in runs[peer].history["healing/kl_div"]] == row["curve"]["tokens"]


def test_without_a_measured_target_peers_are_timed_where_models_compute(peers, out, parent, tmp_path):
    profiled = {"source": "roofline", "hardware": "h100-sxm", "dtype": "bfloat16", "workload": TARGET["workload"]}
    only = params(speed, costs={"targets": {"here": profiled}})
    children = [out / f"peers/{peer}.json" for peer in peers]
    speed.main(only, parent(), children, tmp_path / "speed.json")
    report.main(params(report), children, tmp_path / "speed.json", **small_reports.arguments(REPORT, tmp_path))
    text = (tmp_path / "texts/results.md").read_text()
    assert files.read_json(tmp_path / "speed.json")["target"] == "cpu" and "Budget: the blocks' time on `here`" in text
    assert "batch 1, 8 + 2 tokens" in text


def test_a_speed_that_no_child_has_is_refused(out, parent, tokens, tmp_path, peers):
    with pytest.raises(ValueError, match=r"peers\.speedup = 1000: no child of the library is that fast"):
        child.main(
            params(child, peers=PARAMS["peers"] | {"speedup": 1000}), "puzzle", parent(), tokens, [out / "library"],
            out / "search/here/library.json", out / "costs/here.parquet", out / "peers/statistics.safetensors",
            tmp_path / "none.json",
        )  # fmt: skip
