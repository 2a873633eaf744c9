"""The stages of the study of task items, on a tiny parent with a tokenizer of single characters."""

import json
import shutil

import pytest
import small_reports
from small_data import wheel
from small_tasks import ASKED, agree, with_tokenizer

from tessera.common import files
from tessera.common.params import check
from tessera.data.items import SETS
from tessera.puzzle.studies.tasks.report import REPORT
from tessera.puzzle.studies.tasks.stages import answers as puzzle_tasks_answers
from tessera.puzzle.studies.tasks.stages import items as puzzle_tasks_items
from tessera.puzzle.studies.tasks.stages import latency, samples
from tessera.puzzle.studies.tasks.stages import report as puzzle_tasks_report

GROUPS = {
    "syntax": {"agreement_simple": 40, "agreement_nounpp": 40, "hyperbaton": 40},
    "knowledge": {"mmlu_cloze": 30, "general_knowledge": 60},
    "mine": {"own": {"files": ["own.jsonl"], "items": 30}},
}
WORKLOAD = {"batch": 1, "prefill": 6, "decode": 3}
TARGET = {"source": "measured", "hardware": "cpu", "dtype": "float32", "workload": WORKLOAD, "threads": 1, "repeats": 3}
PARAMS = {
    "seed": 3,
    "tokens": {"ngram": 13, "separator": "<|endoftext|>"},
    "costs": {"targets": {"cpu": TARGET}},
    "compute": {"device": "cpu", "dtype": "float32"},
    "tasks": {
        "groups": GROUPS,
        "characters": 120,
        "margin": 0.0,
        "methods": ["mip", "greedy"],
        "bootstrap": 200,
        "samples": {"sources": ["wiki_leads", "speeches"], "prompt": 5, "tokens": 6, "temperature": 0.7},
        "repeats": 2,
    },
}
MODELS = ["parent", "h100-mip", "h100-greedy", "h100-full", "cpu-mip", "cpu-greedy", "cpu-full"]


def params(stage, **changes):
    """PARAMS as the parameters of one stage."""
    values = PARAMS | changes
    return check(stage.Params, {name: values[name] for name in stage.Params.model_fields})


@pytest.fixture(scope="module")
def out(parent, tokens, repository, chain, tmp_path_factory):
    """Everything that the study writes. The MIP's children are the parent, the others another random model."""
    out = tmp_path_factory.mktemp("tasks")
    place, other = with_tokenizer(parent(), out / "parent"), parent("llama_ungrouped")
    question = "Is it {}?\nA. w\nB. x\nC. y\nD. z\nAnswer:"
    questions = [{"question": question.format(i), "answer": "ABCD"[i % 4]} for i in range(30)]
    wheel(out / "evals.whl", {SETS["mmlu_cloze"].member: "\n".join(map(json.dumps, questions)).encode()})
    items = out / "items.parquet"
    bigbench = repository / "data/tasks/bigbench.zip"
    rows = [{"prompt": f"Is it {i}?", "choices": ["yes", "no"], "answer": i % 2} for i in range(40)]
    (out / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    puzzle_tasks_items.main(params(puzzle_tasks_items), bigbench, items, out / "evals.whl", out)
    agree(items, place, out / "asked.parquet")
    for name in MODELS:
        half, model = ("all", place) if name == "parent" else ("odd", other if name.endswith("greedy") else place)
        answers = out / f"answers/{name}.parquet"
        puzzle_tasks_answers.main(ASKED, model, place, items, half, answers)
    children = [out / "h100", out / "cpu"]
    for path, source in zip(children, (place, other), strict=True):
        shutil.copytree(source, path)
    samples.main(params(samples), place, children, tokens, out / "samples.json")
    latency.main(params(latency), place, children, out / "latency.json")
    report(out, chain)
    return out


def report(out, chain):
    puzzle_tasks_report.main(
        params(puzzle_tasks_report),
        out / "items.parquet",
        [out / f"answers/{name}.parquet" for name in MODELS],
        chain["evaluation"],
        out / "samples.json",
        out / "latency.json",
        chain["speed"],
        **small_reports.arguments(REPORT, out / "report"),
    )


def test_items_are_of_every_set_and_within_bounds(out):
    table = files.read_parquet(out / "items.parquet")
    counts = table.groupby("set").size()
    most = {name: count for sets in GROUPS.values() for name, count in sets.items()} | {"own": 30}
    assert set(counts.index) == set(most) and all(0 < counts[name] <= count for name, count in most.items())
    assert counts["own"] == 30, "a set in a file of one's own"
    assert (table["prompt"].str.len() + table["choices"].map(lambda c: sum(map(len, c))) <= 120).all()
    assert (table.groupby("set")["index"].max() == counts - 1).all()


def test_children_are_asked_every_second_item(out):
    assert set(files.read_parquet(out / "answers/cpu-mip.parquet")["index"] % 2) == {1}
    parent, child = (files.read_parquet(out / f"answers/{name}.parquet") for name in ("parent", "cpu-mip"))
    both = parent.merge(child, on=["set", "index", "choice"])
    assert len(both) == len(child) and both["log_probability_x"].to_numpy() == pytest.approx(both["log_probability_y"])


def test_the_parent_itself_retains_all_and_another_model_does_not(out):
    numbers = files.read_json(out / "report/metrics.json")
    assert any(selection["kept"] for selection in numbers["selection"].values())
    for name in ("h100-mip", "h100-full", "cpu-mip", "cpu-full"):
        assert numbers["models"][name]["overall"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    greedy = numbers["models"]["cpu-greedy"]["overall"]["value"]
    assert greedy != 1.0
    assert numbers["differences"]["cpu"]["greedy"]["value"] == pytest.approx(1 - greedy)
    ratios = numbers["perplexity"]
    assert ratios["cpu-full"]["in_domain"] < ratios["cpu-mip"]["in_domain"]


def test_texts_of_all_models_stand_side_by_side(out):
    rows = files.read_json(out / "samples.json")
    assert [row["source"] for row in rows] == ["wiki_leads", "speeches"]
    for row in rows:
        assert row["greedy"]["parent"] == row["greedy"]["h100"] and row["drawn"]["parent"] == row["drawn"]["h100"]
        assert row["greedy"]["parent"] != row["greedy"]["cpu"]
    text = (out / "report/texts/samples.md").read_text()
    assert text.count("| parent |") == 2 and text.count("| cpu child |") == 2


def test_report_and_runs(out, chain):
    results = (out / "report/texts/results.md").read_text()
    for words in ("| cpu kept, healed in full | 100 [100, 100] |", "**Latency**", "**Perplexity** by domain"):
        assert words in results
    table = files.read_csv(out / "report/tables/tasks.csv")
    assert len(table) == len(MODELS) * sum(map(len, GROUPS.values()))
    runs = small_reports.runs(out / "report")
    assert {run.job for run in runs.values()} == {f"puzzle_tasks_answers/{name}" for name in MODELS}
    assert runs["cpu MIP"].metrics["retention"] == 1.0 and "retention" not in runs["parent"].metrics
    before = small_reports.content(out)
    report(out, chain)
    assert small_reports.content(out) == before


def test_without_a_measured_target_a_small_workload_is_served_where_models_compute(out, tmp_path):
    profiled = {"source": "roofline", "hardware": "h100-sxm", "dtype": "fp8", "workload": WORKLOAD | {"batch": 9}}
    only = params(latency, costs={"targets": {"h100": profiled}})
    latency.main(only, out / "parent", [out / "h100"], tmp_path / "latency.json")
    found = files.read_json(tmp_path / "latency.json")
    assert (found["target"], found["dtype"], found["workload"]["batch"]) == ("cpu", "float32", 1)
    assert found["models"]["h100"]["tokens"] == 2 * 3


def test_a_model_that_was_not_asked_everything_is_named(out, chain, tmp_path):
    copy = shutil.copytree(out, tmp_path / "copy")
    path = copy / "answers/cpu-greedy.parquet"
    files.write_parquet(path, files.read_parquet(path).query("set != 'hyperbaton'"))
    with pytest.raises(ValueError, match="cpu-greedy: no answer to item 1 of hyperbaton"):
        report(copy, chain)


def test_texts_need_a_document_that_is_long_enough(out, tokens, tmp_path):
    tasks = PARAMS["tasks"] | {"samples": PARAMS["tasks"]["samples"] | {"tokens": 500}}
    with pytest.raises(ValueError, match="test split of wiki_leads has no document of 505 tokens"):
        samples.main(params(samples, tasks=tasks), out / "parent", [], tokens, tmp_path / "samples.json")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"a": {"timedial": 8}, "b": {"timedial": 8}}, "timedial: in more than one group"),
        ({"a": {"timedial": 3}}, "timedial: expected at least 4 items"),
        ({"a": {"timedail": 8}}, "timedail"),
    ],
)
def test_wrong_sets_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        params(puzzle_tasks_items, tasks=PARAMS["tasks"] | {"groups": groups})


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"hyperbatton": 40}, "hyperbatton: unknown set; expected one of agreement_simple"),
        ({"hyperbaton": {"files": ["a.jsonl"]}}, "hyperbaton: the name of a known set"),
        ({"own": {"files": ["a.jsonl"], "items": 3}}, r"own\.items = 3; must be greater than or equal to 4"),
        ({"own": {"file": ["a.jsonl"]}}, "own.file: unknown key; did you mean 'files'"),
    ],
)
def test_faults_of_sets_are_named(sets, message):
    with pytest.raises(ValueError, match=message):
        params(puzzle_tasks_items, tasks=PARAMS["tasks"] | {"groups": {"mine": sets}})
