"""lm-eval on parent and child: its results as ours, the card, MLflow, and the command on tasks of one's own."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM
from typer.testing import CliRunner

from tessera.cli import app
from tessera.common import files
from tessera.puzzle import harness_cli
from tessera.puzzle.serve import harness
from tessera.puzzle.serve.harness import Asked

FOUND = {
    "parent": {"arc": {"acc": {"value": 0.5, "se": 0.1}, "version": 1.0, "items": 25}},
    "child": {"arc": {"acc": {"value": 0.4, "se": None}, "version": 1.0, "items": 25}},
}


def test_the_harness_words_become_metrics():
    theirs = {
        "alias": "arc", "acc,none": 0.5, "acc_stderr,none": 0.1, "exact_match,strict": 0.25,
        "exact_match_stderr,strict": "N/A", "sample_len": 25, "words": "none",
    }  # fmt: skip
    assert harness._metrics(theirs) == {
        "acc": {"value": 0.5, "se": 0.1},
        "exact_match (strict)": {"value": 0.25, "se": None},
    }


def test_the_card_holds_the_last_results(tmp_path):
    card = tmp_path / "README.md"
    card.write_text("# A child\n\n## Scores\n\nNone.\n\n## Samples\n\nMany.\n")
    harness.add_to_card(card, harness.section(FOUND, "lm-eval 0 by hand"))
    once = card.read_text()
    assert once.startswith("# A child\n\n## Scores\n\nNone.\n\n## Samples\n\nMany.\n\n## lm-eval\n\nlm-eval 0 by hand;")
    assert "| arc | acc | 25 | 0.500 ± 0.100 | 0.400 ± n/a |" in once
    card.write_text(once + "\n## More\n\nText.\n")
    harness.add_to_card(card, harness.section(FOUND, "lm-eval 0 again"))
    again = card.read_text()
    assert again.count("## lm-eval") == 1 and "by hand" not in again and again.endswith("\n## More\n\nText.\n")


def test_mlflow_gets_a_run_of_each(tmp_path):
    from mlflow import MlflowClient

    database = tmp_path / "mlflow.db"
    for _ in range(2):
        harness_cli.track(database, FOUND, Asked(("arc",), limit=25), ("whole", "small"), "lm-eval 0")
    client = MlflowClient(f"sqlite:///{database}")
    runs = client.search_runs([client.get_experiment_by_name("puzzle/lm-eval").experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["small", "small", "whole", "whole"]
    assert {run.data.metrics["arc/acc"] for run in runs} == {0.4, 0.5}
    assert all(run.data.params["limit"] == "25" and run.info.status == "FINISHED" for run in runs)


@pytest.fixture
def run(tmp_path):
    """Parent and child beside each other, with a tokenizer of words, and a task whose answers are one word."""
    words = ["<end>", "is", "the", "sky", "sea", "blue", "green", "what"]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<end>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    for place, seed in (("data/parent", 0), ("child", 1)):
        torch.manual_seed(seed)
        sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
        LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=8)).save_pretrained(tmp_path / place)
        made.save(str(tmp_path / place / "tokenizer.json"))
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>", "unk_token": "<end>"}
        (tmp_path / place / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "child/README.md").write_text("# A child\n")
    items = [
        {"q": f"the {thing} is", "choices": ["blue", "green"], "a": i % 2} for i, thing in enumerate(["sky", "sea"])
    ]
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/colours.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (tmp_path / "tasks/colours.yaml").write_text(
        "task: colours\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path / 'tasks/colours.jsonl'}}}}}\n"
        'test_split: test\noutput_type: multiple_choice\ndoc_to_text: "{{q}}"\ndoc_to_choice: "{{choices}}"\n'
        "doc_to_target: a\nmetric_list:\n  - {metric: acc, aggregation: mean, higher_is_better: true}\n"
    )
    return tmp_path


def call(run: Path, *arguments: str):
    return CliRunner().invoke(app, ["puzzle", "lm-eval", str(run / "child"), *arguments])


def test_the_command_keeps_what_is_done(run, monkeypatch):
    asked = []

    def results(directory, *_):
        asked.append(directory.name)
        if len(asked) == 2:
            raise ValueError("interrupted")
        return FOUND["child"]

    monkeypatch.setattr(harness, "results", results)
    monkeypatch.setattr(harness, "version", lambda: "lm-eval 0")
    assert call(run, "--tasks", "arc").exit_code == 1
    answer = call(run, "--tasks", "arc", "--mlflow-db", str(run / "mlflow.db"))
    assert answer.exit_code == 0, answer.output
    assert asked == ["parent", "child", "child"] and (run / "mlflow.db").is_file()
    assert set(files.read_json(run / "child/lm-eval.json")["results"]) == {"parent", "child"}
    assert "## lm-eval" in (run / "child/README.md").read_text() and "arc" in answer.output
    assert call(run, "--tasks", "arc", "--limit", "3").exit_code == 0
    assert asked[3:] == ["parent", "child"]


def test_without_the_harness_its_extra_is_named(run, monkeypatch):
    def missing(name):
        raise harness.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(harness.metadata, "version", missing)
    answer = call(run, "--tasks", "arc")
    assert answer.exit_code == 1 and 'pip install "tessera[lm-eval]"' in answer.output


@pytest.mark.slow
@torch.no_grad()
def test_tasks_of_ones_own_are_asked_offline(run, monkeypatch):
    pytest.importorskip("lm_eval", reason="the extra lm-eval")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(run / "cache"))
    answer = call(run, "--tasks", "colours", "--include", str(run / "tasks"))
    assert answer.exit_code == 0, answer.output
    found = files.read_json(run / "child/lm-eval.json")["results"]
    for model, place in (("parent", "data/parent"), ("child", "child")):
        network = LlamaForCausalLM.from_pretrained(run / place)
        right = 0
        for thing, answered in ((3, 5), (4, 6)):  # sky, blue; sea, green
            logits = network(torch.tensor([[2, thing, 1]])).logits[0, -1]
            right += int(logits[answered] > logits[11 - answered])
        assert found[model]["colours"]["acc"]["value"] == right / 2 and found[model]["colours"]["items"] == 2
    unknown = call(run, "--tasks", "colors", "--include", str(run / "tasks"))
    assert unknown.exit_code == 1 and "--tasks colors: no such task" in unknown.output
