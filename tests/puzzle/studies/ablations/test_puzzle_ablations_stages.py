"""The stages of the ablations, on a tiny parent and a tiny token stream."""

import math

import pytest
import small_chain
import small_reports
from scipy import stats
from small_chain import OPTIMISER

from tessera.common import files
from tessera.puzzle.studies.ablations.report import REPORT
from tessera.puzzle.studies.ablations.stages import blocks, report
from tessera.puzzle.studies.ablations.stages import case as puzzle_ablations_case

PARAMS = {
    **small_chain.PARAMS,
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
}


def params(stage, **changes):
    """PARAMS as the parameters of one stage."""
    return small_chain.of(stage, PARAMS | changes)


@pytest.fixture(scope="module")
def out(parent, tokens, tmp_path_factory):
    """The main chain up to the search, and scores with a cosine."""
    out = tmp_path_factory.mktemp("ablations")
    small_chain.make(out, parent(), tokens, PARAMS)
    scores = files.read_json(out / "scores.json")
    for parts in scores.values():
        for named in parts.values():
            for metrics in named.values():
                metrics["cosine"] = metrics["kl_div"] ** 2
    files.write_json(out / "interactions.json", scores)
    return out


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
        ("default", {"sources": ["owt"]}, "the split train has no source 'owt'"),
        ("greedy", {"score": "top1"}, "the score top1 is only for method mip, not greedy"),
        ("reduced", {"kept": ["nothing"]}, "method mip on this space has no child at 1.2 times"),
    ],
)
def test_a_case_that_cannot_be_is_refused(out, parent, tokens, tmp_path, case, changes, message):
    with pytest.raises(ValueError, match=message):
        run_case(case, out, parent(), tokens, tmp_path / "none.json", **changes)


def test_ablations_are_reported(ablations, tmp_path):
    named = small_reports.arguments(REPORT, tmp_path)
    report.main(params(report), *ablations, **named)
    cases = files.read_csv(tmp_path / "tables/cases.csv")
    assert set(cases.case) == set(PARAMS["ablations"]["cases"]) and set(cases.seeds) == {2}
    rows = {path.stem: files.read_json(path) for path in ablations[1]}
    kl = {case: [row["healed"]["in_domain"]["kl_div"] for row in of_case] for case, of_case in rows.items()}
    numbers = files.read_json(named["metrics"])
    assert numbers["default"]["healed_in_domain_kl_div"] == pytest.approx(sum(kl["default"]) / 2)
    assert numbers["default"]["healed_in_domain_ratio_high"] == 1.0
    logs = [math.log(mine / other) for mine, other in zip(kl["paper"], kl["squares"], strict=True)]
    interval = stats.t.interval(0.95, 1, sum(logs) / 2, stats.sem(logs))
    ends = [numbers["paper"][f"healed_in_domain_ratio_{end}"] for end in ("low", "high")]
    assert ends == pytest.approx([math.exp(end) for end in interval])
    runs = small_reports.runs(tmp_path)
    assert set(runs) == {f"{case}, seed {n}" for case in rows for n in range(2)}
    assert runs["score top1, seed 1"].job == "puzzle_ablations_case/score-top1"


def test_a_case_is_compared_with_a_case():
    cases = {"default": {}, "lm": {"against": "none"}}
    with pytest.raises(ValueError, match=r"cases\.lm: against = 'none' is not a case; expected one of default, lm"):
        params(report, ablations=PARAMS["ablations"] | {"cases": cases})
