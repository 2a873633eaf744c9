"""The stages of the studies around the main chain, on a tiny parent and a tiny token stream."""

import math

import pytest
import small_chain
from scipy import stats
from small_chain import OPTIMISER, TARGET

from tessera.common import files, run_files
from tessera.puzzle.studies.ablations.stages import blocks
from tessera.puzzle.studies.ablations.stages import case as puzzle_ablations_case
from tessera.puzzle.studies.ablations.stages import report as puzzle_ablations_report
from tessera.puzzle.studies.peers.stages import child, speed, statistics
from tessera.puzzle.studies.peers.stages import report as puzzle_peers_report
from tessera.puzzle.studies.validity.stages import children as puzzle_validity_children
from tessera.puzzle.studies.validity.stages import composed, correction, figures, group, interactions, tables, time

PARAMS = {
    **small_chain.PARAMS,
    **small_chain.EVALUATION,
    "costs": {"targets": {"here": TARGET}},
    "peers": {"target": "here", "speedup": 1.2, "methods": ["puzzle", "depth", "width", "flap"], "repeats": 2},
    "ablations": {
        "seeds": 2,
        "text": {"tokens": 400, "window": 20},
        "blocks": {"layers": [1], "initialisations": ["random", "paper", "least_squares"], "tokens": [0, 400]},
        "child": {
            "target": "here",
            "speedup": 1.2,
            "windows": 3,
            "out_of_domain": 2,
            "healing": OPTIMISER | {"tokens": 80},
        },
        "cases": {
            "default": {},
            "lm": {"cosine": 0.0, "kl": 0.0, "lm": 1.0},
            "score top1": {"score": "top1"},
            "score cosine": {"score": "cosine"},
            "reduced": {"kept": ["no_op", "linear"]},
            "greedy": {"method": "greedy"},
            "squares": {"blocks": {"initialisation": "least_squares", "tokens": 0}},
            "paper": {"blocks": {"initialisation": "paper", "tokens": 0}, "against": "squares"},
            "speeches": {"blocks": {"initialisation": "least_squares", "tokens": 0}, "sources": ["speeches"]},
        },
    },
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


@pytest.fixture(scope="module")
def out(parent, tokens, tmp_path_factory):
    """Everything that the study makes, with what it needs of the main chain."""
    out, place = tmp_path_factory.mktemp("validity"), parent()
    small_chain.make(out, place, tokens, PARAMS)
    library, scores, costs = [out / "library"], [out / "scores.json"], out / "costs/here.parquet"
    libraries, children = [out / "search/here/library.json"], out / "children.json"
    puzzle_validity_children.main(params(puzzle_validity_children), libraries, children)
    groups = [out / f"groups/{name}.json" for name in files.read_json(children)]
    for path in groups:
        group.main(
            params(group), path.stem, place, tokens, library, children, path
        )  # fmt: skip
    gram = out / "interactions.npy"
    interactions.main(params(interactions), place, tokens, library, gram, out / "interactions.json")
    composed.main(params(composed), place, tokens, library, children, out / "composed.json")
    correction.main(
        params(correction), groups, scores, gram, libraries, out / "correction.json",
        out / "corrected.json",
    )  # fmt: skip
    group.main(
        params(group), "corrected", place, tokens, library, out / "corrected.json",
        out / "groups/corrected.json",
    )  # fmt: skip
    time.main(params(time), place, library, [costs], children, out / "time.json")
    return out


@pytest.fixture(scope="module")
def given(out):
    """The results as the report stages are given them."""
    groups = [out / f"groups/{name}.json" for name in files.read_json(out / "children.json")]
    named = {name: out / f"{name}.json" for name in ("correction", "composed", "time")}
    return named | {"groups": groups, "corrected": out / "groups/corrected.json", "scores": [out / "scores.json"]}


def test_children_are_of_every_group_and_within_their_budgets(out):
    rows = files.read_json(out / "children.json")
    assert list(rows) == sorted(["mip", "diverse", "baselines", "any", "mild"])
    assert [sum(block != "parent+parent" for block in row["blocks"]) for row in rows["any"]] == [1, 3]
    (optimum,) = [row for row in rows["mip"] if row["speedup"] == 1.3]
    assert all(row["blocks"] != optimum["blocks"] for row in rows["diverse"])
    names = [row["name"] for own in rows.values() for row in own]
    assert len(set(names)) == len(names)


def test_groups_are_measured_on_the_scores_text_and_on_test_text(out, given):
    for path in given["groups"]:
        for row in files.read_json(path):
            assert len(row["scored"]["by_window"]["kl_div"]) == 5
            assert len(row["assembled"]["by_window"]["kl_div"]) == 4
            assert row["healed"]["kl_div"] != row["assembled"]["kl_div"] and row["healing_tokens"] == 40


def test_one_exchanged_subblock_is_predicted_exactly(out, given):
    """Where a child has a single exchange, the sum of scores is its KL on the scores' own text."""
    scores = files.read_json(out / "scores.json")
    singles = 0
    for path in given["groups"]:
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
    with pytest.raises(ValueError, match="no group 'none'; there are any, baselines"):
        group.main(
            params(group), "none", parent(), tokens, [out / "library"], out / "children.json",
            out / "none.json",
        )  # fmt: skip


def test_correction_keeps_to_the_budget_and_says_what_it_fitted(out):
    found = files.read_json(out / "correction.json")
    assert set(found["cosines"]["neighbourhood"]) == {"same_layer", "next_layer", "further"}
    assert set(found["cosines"]["subblocks"]) == {"attention_attention", "attention_ffn", "ffn_ffn"}
    for grouping in found["cosines"]:
        assert all(one[f"{grouping}_without_group"] is not None for one in found["children"] if one["fitted"])
    rows = files.read_json(out / "corrected.json")["corrected"]
    assert {row["method"] for row in rows} == {"neighbourhood", "subblocks", "measured"}
    assert all(row["predicted"] <= row["predicted_before"] + 1e-9 for row in rows)


def test_report_repeats_byte_by_byte(given, tmp_path):
    study = params(tables)
    for n in range(2):
        root = tmp_path / str(n)
        tables.main(
            study, **given, results=root / "results.md", metrics=root / "metrics.json", runs=root / "runs",
            tables=[root / f"{name}.csv" for name in tables.TABLES],
        )  # fmt: skip
        figures.main(
            params(figures), **given,
            figures=[root / f"{name}.svg" for name in figures.FIGURES],
        )  # fmt: skip
    first, second = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*") if p.is_file()} for n in "01"
    )
    assert first == second
    runs = list((tmp_path / "0/runs").glob("*/*.json"))
    assert len(runs) == len(list(_rows(given))) + 1  # one a child, and the numbers of the study
    for path in runs:
        run_files.read(path)


def _rows(given):
    for path in [*given["groups"], given["corrected"]]:
        yield from files.read_json(path)


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
        assert row["mlp_bias"] == (peer == "flap")
    parents = {row["states"]["equal"]["in_domain"]["parent_perplexity"] for row in peers.values()}
    assert len(parents) == 1
    assert sum(ffn["kind"] == "no_op" for _, ffn in peers["depth"]["layers"]) >= 1
    assert len({ffn["intermediate_size"] for _, ffn in peers["width"]["layers"]}) == 1


def test_peers_are_timed_and_reported(peers, out, parent, tmp_path):
    children = [out / f"peers/{peer}.json" for peer in peers]
    speed.main(params(speed), parent(), children, out / "peers/speed.json")
    named = {name: tmp_path / name for name in ("results", "peers", "domains", "metrics", "runs", "figure")}
    puzzle_peers_report.main(params(puzzle_peers_report), children, out / "peers/speed.json", **named)
    table = files.read_csv(named["peers"])
    assert list(table["peer"]) == ["puzzle", "depth", "width", "flap"]
    for peer, row in peers.items():
        assert (
            files.read_json(named["metrics"])[peer]["equal_in_domain_kl_div"]
            == (row["states"]["equal"]["in_domain"]["kl_div"])
        )
        run_files.read(named["runs"] / f"puzzle_peers_child/peer={peer}.json")


def run_case(case, out, place, tokens, made, responses=None, **changes):
    """One case of PARAMS, with changes of it."""
    shared = PARAMS["ablations"]
    values = {name: shared[name] for name in ("seeds", "text", "child")} | {"case": shared["cases"][case] | changes}
    puzzle_ablations_case.main(
        params(puzzle_ablations_case, **values), case, place, tokens, [out / "library"], [out / "scores.json"],
        out / "costs/here.parquet", made, responses,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ablations(out, parent, tokens):
    """Files of blocks and of cases."""
    place, made, shared = parent(), out / "ablations", PARAMS["ablations"]
    values = params(blocks, blocks=shared["blocks"], text=shared["text"])
    for seed in range(2):
        blocks.main(values, seed, place, tokens, made / f"blocks/{seed}.json")
    for case in shared["cases"]:
        run_case(case, out, place, tokens, made / f"cases/{case}.json", out / "interactions.json")
    return sorted(made.glob("blocks/*.json")), sorted(made.glob("cases/*.json"))


def test_blocks_start_from_each_initialisation(ablations):
    rows = [row for path in ablations[0] for row in files.read_json(path)]
    by = {(r["variant"], r["initialisation"], r["tokens"], r["replicate"]): r for r in rows}
    for variant in ("attention.kv1", "ffn.ffn50", "ffn.linear"):
        random, paper, squares = (by[variant, i, 0, 0] for i in ("random", "paper", "least_squares"))
        assert squares["distilled"]["per_token"] < paper["distilled"]["per_token"]
        assert paper["distilled"] != random["distilled"]
        trained = by[variant, "random", 400, 0]
        assert trained["distilled"]["per_token"] < trained["initial"]["per_token"]
        assert random["flops"] == 0 < paper["flops"] + squares["flops"]
        assert by[variant, "paper", 400, 0]["flops"] - paper["flops"] == trained["flops"] > 0
    assert by["ffn.ffn50", "paper", 0, 0]["distilled"] != by["ffn.ffn50", "paper", 0, 1]["distilled"]


def test_cases_differ_in_what_they_say(ablations):
    rows = {(row["case"], row["replicate"]): row for path in ablations[1] for row in files.read_json(path)}
    default, lm = rows["default", 0], rows["lm", 0]
    assert default["blocks"] == lm["blocks"] and default["assembled"] == lm["assembled"]
    assert default["healed"] != lm["healed"] and default["healed"] != rows["default", 1]["healed"]
    parts = {part for block in rows["reduced", 0]["blocks"] for part in block.split("+")}
    assert parts <= {"parent", "no_op", "linear"}
    assert rows["score cosine", 0]["objective"] != default["objective"]
    for case in ("squares", "paper", "speeches"):  # the same choice of other blocks
        assert rows[case, 0]["blocks"] == default["blocks"]
        assert rows[case, 0]["assembled"] != default["assembled"]
        assert rows[case, 0]["assembled"] != rows[case, 1]["assembled"]
    assert rows["speeches", 0]["assembled"] != rows["squares", 0]["assembled"]


@pytest.mark.parametrize(
    ("case", "changes", "message"),
    [
        ("score cosine", {}, "case 'score cosine' is scored by cosine: --responses must name"),
        ("default", {"sources": ["owt"]}, "the split train has no source 'owt'; valid are"),
        ("greedy", {"score": "top1"}, "the score top1 is for method mip, not greedy"),
        ("reduced", {"kept": ["nothing"]}, "method mip on this space has no child at 1.2 times"),
    ],
)
def test_a_case_that_cannot_be_is_refused(out, parent, tokens, tmp_path, case, changes, message):
    with pytest.raises(ValueError, match=message):
        run_case(case, out, parent(), tokens, tmp_path / "none.json", **changes)


def test_ablations_are_reported(ablations, tmp_path):
    names = ("results", "block_table", "case_table", "metrics", "runs")
    named = {name: tmp_path / name for name in (*names, "block_figure", "flops_figure", "case_figure")}
    puzzle_ablations_report.main(params(puzzle_ablations_report), *ablations, **named)
    cases = files.read_csv(named["case_table"])
    assert set(cases.case) == set(PARAMS["ablations"]["cases"]) and set(cases.seeds) == {2}
    rows = {case: files.read_json(path) for path in ablations[1] for case in [path.stem]}
    kl = {case: [row["healed"]["in_domain"]["kl_div"] for row in found] for case, found in rows.items()}
    found = files.read_json(named["metrics"])
    assert found["default"]["healed_in_domain_kl_div"] == pytest.approx(sum(kl["default"]) / 2)
    assert found["default"]["healed_in_domain_ratio_high"] == 1.0
    logs = [math.log(mine / other) for mine, other in zip(kl["paper"], kl["squares"], strict=True)]
    interval = stats.t.interval(0.95, 1, sum(logs) / 2, stats.sem(logs))
    ends = [found["paper"][f"healed_in_domain_ratio_{end}"] for end in ("low", "high")]
    assert ends == pytest.approx([math.exp(end) for end in interval])
    for path in named["runs"].glob("*/*.json"):
        run_files.read(path)


def test_a_case_is_compared_with_a_case():
    cases = {"default": {}, "lm": {"against": "none"}}
    with pytest.raises(ValueError, match=r"cases\.lm: against = 'none' is no case; valid are default, lm"):
        params(puzzle_ablations_report, ablations=PARAMS["ablations"] | {"cases": cases})
