"""The stages of the validity study, on a tiny parent and a tiny token stream."""

import pytest
import small_chain
import small_reports
from small_chain import OPTIMISER, TARGET

from tessera.common import files
from tessera.puzzle.studies.validity.report import REPORT
from tessera.puzzle.studies.validity.stages import (
    children,
    composed,
    correction,
    group,
    interactions,
    report,
    time,
)

PARAMS = {
    **small_chain.PARAMS,
    "costs": {"targets": {"here": TARGET}},
    "validity": {
        "windows": 4,
        "speedups": [1.1, 1.3, 1.6],
        "diverse": {"speedups": [1.3], "count": 1, "min_difference": 1},
        "baselines": {"target": "here", "methods": ["greedy", "homogeneous"], "speedups": [1.3]},
        "random": {"any": {"replaced": [1, 3], "share": 1.0}, "mild": {"replaced": [1, 1, 3], "share": 0.1}},
        "healing": OPTIMISER | {"tokens": 40},
        "composed": 5,
        "correction": {"most": 50.0, "speedups": [1.3], "windows": 2},
        "time": {"children": 3, "repeats": 2},
        "bootstrap": 100,
    },
}


def params(stage, **changes):
    """PARAMS as the parameters of one stage."""
    return small_chain.of(stage, PARAMS | changes)


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def out(request, parent, tokens, tmp_path_factory):
    """Everything that the study writes, and what it reads of the main chain."""
    out, place = tmp_path_factory.mktemp("validity"), parent(request.param)
    small_chain.make(out, place, tokens, PARAMS)
    library, scores, costs = [out / "library"], [out / "scores.json"], out / "costs/here.parquet"
    libraries, drawn = [out / "search/here/library.json"], out / "children.json"
    children.main(params(children), "here", libraries, drawn)
    groups = [out / f"groups/{name}.json" for name in files.read_json(drawn)]
    for path in groups:
        group.main(params(group), path.stem, place, tokens, library, drawn, path)
    gram = out / "interactions.npy"
    interactions.main(params(interactions), place, tokens, library, gram, out / "interactions.json")
    composed.main(params(composed), place, tokens, library, drawn, out / "composed.json")
    correction.main(
        params(correction), groups, scores, gram, libraries, out / "correction.json",
        out / "corrected.json",
    )  # fmt: skip
    group.main(
        params(group), "corrected", place, tokens, library, out / "corrected.json",
        out / "groups/corrected.json",
    )  # fmt: skip
    time.main(params(time), place, library, [costs], drawn, out / "time.json")
    return out


@pytest.fixture(scope="module")
def inputs(out):
    """The results as the report stage reads them."""
    groups = [out / f"groups/{name}.json" for name in files.read_json(out / "children.json")]
    named = {name: out / f"{name}.json" for name in ("correction", "composed", "time")}
    return named | {"groups": groups, "corrected": out / "groups/corrected.json", "scores": [out / "scores.json"]}


def test_children_are_of_every_group_and_within_their_budgets(out):
    rows = files.read_json(out / "children.json")
    assert list(rows) == sorted(["mip", "diverse", "baselines", "any", "mild"])
    assert [sum(block != "parent+parent" for block in row["blocks"]) for row in rows["any"]] == [1, 3]
    (optimum,) = [row for row in rows["mip"] if row["speedup"] == 1.3]
    assert all(row["blocks"] != optimum["blocks"] for row in rows["diverse"])
    names = [row["name"] for group_rows in rows.values() for row in group_rows]
    assert len(set(names)) == len(names)


def test_groups_are_measured_on_the_scores_text_and_on_test_text(out, inputs):
    for path in inputs["groups"]:
        for row in files.read_json(path):
            assert len(row["scored"]["by_window"]["kl_div"]) == 5
            assert len(row["assembled"]["by_window"]["kl_div"]) == 4
            assert row["healed"]["kl_div"] != row["assembled"]["kl_div"] and row["healing_tokens"] == 40


def test_one_exchanged_subblock_is_predicted_exactly(out, inputs):
    """Where a child has a single exchange, the sum of scores is its KL on the scores' own text."""
    scores = files.read_json(out / "scores.json")
    singles = 0
    for path in inputs["groups"]:
        for row in files.read_json(path):
            parts = [
                (str(i), subblock, variant)
                for i, block in enumerate(row["blocks"])
                for subblock, variant in zip(("attention", "ffn"), block.split("+"), strict=True)
                if variant != "parent"
            ]
            if len(parts) == 1:
                ((layer, subblock, variant),) = parts
                assert row["scored"]["kl_div"] == pytest.approx(scores[layer][subblock][variant]["kl_div"], rel=1e-4)
                singles += 1
    assert singles


def test_an_unknown_group_is_refused(out, parent, tokens):
    with pytest.raises(ValueError, match="no group 'none'; expected one of any, baselines"):
        group.main(
            params(group), "none", parent(), tokens, [out / "library"], out / "children.json",
            out / "none.json",
        )  # fmt: skip


def test_correction_keeps_to_the_budget_and_says_what_it_fitted(out):
    fits = files.read_json(out / "correction.json")
    assert set(fits["cosines"]["neighbourhood"]) == {"same_layer", "next_layer", "further"}
    assert set(fits["cosines"]["subblocks"]) == {"attention_attention", "attention_ffn", "ffn_ffn"}
    for grouping in fits["cosines"]:
        assert all(child[f"{grouping}_without_group"] is not None for child in fits["children"] if child["fitted"])
    rows = files.read_json(out / "corrected.json")["corrected"]
    assert {row["method"] for row in rows} == {"neighbourhood", "subblocks", "measured"}
    assert all(row["predicted"] <= row["predicted_before"] + 1e-9 for row in rows)


def test_the_report_repeats_byte_by_byte(inputs, tmp_path):
    named = small_reports.arguments(REPORT, tmp_path)
    report.main(params(report), **inputs, **named)
    first = small_reports.content(tmp_path)
    report.main(params(report), **inputs, **named | {"figures": named["figures"][:1], "runs": tmp_path / "again.jsonl"})
    (tmp_path / "again.jsonl").unlink()  # it has the paths of one figure alone
    assert small_reports.content(tmp_path) == first
    rows = [row for path in [*inputs["groups"], inputs["corrected"]] for row in files.read_json(path)]
    runs = small_reports.runs(tmp_path)
    assert set(runs) == {row["name"] for row in rows} | {"summary"}
    assert runs["summary"].metrics["children"] == len(rows) - len(files.read_json(inputs["corrected"]))


def test_too_few_children_with_a_small_sum_are_refused(out, inputs, tmp_path):
    settings = PARAMS["validity"] | {"correction": {"most": 1e-6, "speedups": [1.3], "windows": 2}}
    with pytest.raises(ValueError, match=r"only 0 children have a summed score <= .*; at least 4 are needed"):
        correction.main(
            params(correction, validity=settings), inputs["groups"], inputs["scores"], out / "interactions.npy",
            [out / "search/here/library.json"], tmp_path / "correction.json", tmp_path / "corrected.json",
        )  # fmt: skip


def test_without_a_measured_target_no_child_is_timed(out, inputs, parent, tmp_path):
    profiled = {"source": "roofline", "hardware": "h100-sxm", "dtype": "bfloat16", "workload": TARGET["workload"]}
    only = params(time, costs={"targets": {"here": profiled}})
    costs, drawn = [out / "costs/here.parquet"], out / "children.json"
    time.main(only, parent(), [out / "library"], costs, drawn, tmp_path / "time.json")
    named = small_reports.arguments(REPORT, tmp_path)
    report.main(params(report), **inputs | {"time": tmp_path / "time.json"}, **named)
    assert "No cost target is measured" in (tmp_path / "texts/results.md").read_text()
    assert files.read_csv(tmp_path / "tables/time.csv").empty
    assert files.read_json(named["metrics"])["time"] == {"children": 0, "target": None}
