"""The card of a child, from the files of a run."""

import pandas as pd
import pytest
from small_facts import facts, request, text

from tessera.common import files
from tessera.puzzle.compress import plan, result

QUALITY = {"kl_div": 0.25, "top1": 0.8, "perplexity": 31.0, "parent_perplexity": 27.0, "windows": 4}
PHASES = ("prefill", "decode", "runtime")


@pytest.fixture
def made(tmp_path):
    return plan.make(request(), tmp_path, tmp_path, (facts(), text()))


@pytest.fixture
def out(tmp_path):
    """What the workflow leaves, as far as the card is made of it."""
    puzzle, tasks = tmp_path / "data/puzzle", tmp_path / "data/puzzle_studies/tasks"
    states = {"text": QUALITY, "in_domain": QUALITY | {"by_window": {}}}
    evaluation = {"states": {"assembled": {"in_domain": QUALITY | {"kl_div": 0.4}}, "full": states}}
    files.write_json(puzzle / "evaluation/cpu-quadratic.json", evaluation)
    child = {"blocks": ["kv1+ffn50"], "value": 0.2, "speed": {"model_speedup": 1.31}}
    files.write_json(puzzle / "search/cpu/children.json", {"children": {"quadratic": child}})
    files.write_json(
        puzzle / "refits/cpu.json", {"validation": {"before": 0.3, "after": 0.4, "kept": 0.3, "share": 0.0}}
    )
    files.write_json(
        puzzle / "curves/cpu/full.json", {"validation": {"before": 0.4, "after": 0.25, "kept": 0.24, "share": 0.9}}
    )
    files.write_json(puzzle / "export/cpu/export.json", {"gguf": None, "refusal": "no form"})
    files.write_text(puzzle / "export/cpu/README.md", "# A child of /model\n")
    files.write_text(puzzle / "export/cpu/model.safetensors", "weights")
    rates = {f"{phase}_tokens_per_s": 10.0 for phase in PHASES}
    speed = {
        "measured": rates,
        "memory": {"model_mib": 500.0},
        "speedup": dict.fromkeys(("prefill", "decode", "runtime"), 1.25),
    }
    models = {"parent": speed, "cpu": speed | {"memory": {"model_mib": 400.0}}}
    files.write_json(puzzle / "speed.json", {"method": "quadratic", "served": {"cpu": {"models": models}}})
    items = [
        {"set": name, "group": "g", "index": i, "prompt": "p", "choices": [" a", " b"], "answer": 0, "chance": 0.5}
        for name in ("one", "two")
        for i in range(8)
    ]
    files.write_parquet(tasks / "items.parquet", pd.DataFrame(items))
    for model, right in (("parent", 8), ("cpu-full", 4)):
        rows = [
            {"set": item["set"], "index": item["index"], "choice": choice, "log_probability": -float(choice == likely)}
            for item in items
            for likely in [int(item["index"] < right)]
            for choice in (0, 1)
        ]
        files.write_parquet(tasks / f"answers/{model}.parquet", pd.DataFrame(rows))
    sample = {"source": "text", "prompt": "Once\nupon", "greedy": {"parent": " a time", "cpu": " a\nday"}}
    files.write_json(tasks / "samples.json", [sample])
    for rule, seconds in (("puzzle_scores_part/0", 90), ("puzzle_scores_part/1", 30), ("puzzle_speed", 6)):
        files.write_text(tmp_path / f"logs/benchmarks/{rule}.tsv", f"s\th:m:s\n{seconds}\t0:01:30\n")
    return tmp_path


def test_numbers_of_a_run(made, out):
    found = result.read(made, out)
    assert found["quality"]["in_domain"] == QUALITY and found["before_healing"] == 0.4
    assert found["tasks"]["one"] == {"items": 4, "guess": 0.5, "parent": 1.0, "child": 0.5}
    assert found["minutes"] == {"puzzle_scores_part": 2.0, "puzzle_speed": 0.1}
    assert found["speed"]["cpu"]["memory"]["model_mib"] == 400.0


def test_the_card_has_all_sections_and_no_path_of_this_machine(made, out):
    found = result.read(made, out)
    result.publish(made, found, out)
    card = (out / "child/README.md").read_text()
    assert card.startswith("# A child of model\n")
    assert "| written tokens per second | 10 | 10 | 1.25 |" in card and "| memory, MiB | 500 | 400 | 0.80 |" in card
    assert "| one | 4 | 0.50 | 1.00 | 0.50 |" in card
    assert "> Once upon" in card and "* child: a day" in card
    assert (out / "child/model.safetensors").read_text() == "weights"
    said = [*result.lines(made, found, out)]
    assert any("KL 0.400 before, 0.250 after" in line for line in said)
    (taken_back,) = [line.strip() for line in said if "taken back" in line]
    assert taken_back == "the refit was taken back: on validation text KL 0.300 before and 0.400 after"


@pytest.mark.parametrize("measured", ["nothing", "another target"])
def test_what_was_not_measured_is_said(made, out, measured):
    """The speed of a computed target: parent and child were served on this machine instead, or not at all."""
    path = out / "data/puzzle/speed.json"
    speed = files.read_json(path)
    path.unlink()
    if measured == "another target":
        files.write_json(path, speed | {"served": {"cuda": speed["served"].pop("cpu")}})
    (out / "data/puzzle_studies/tasks/samples.json").unlink()
    found = result.read(made, out) | {"tasks": None}
    result.publish(made, found, out)
    card = (out / "child/README.md").read_text()
    assert "Not measured: the target is not this machine." in card and "Not asked." in card and "Samples" not in card


def test_a_child_of_one_size_is_published_as_a_plain_class(parent, library, variants, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    from tessera.puzzle import child
    from tessera.puzzle.models import loading

    blocks = ["kv1+ffn50", "no_op+no_op", "kv1+ffn50"]
    one = child.assemble(loading.load(parent()), variants, library(), blocks)
    exported = tmp_path / "data/puzzle/export/cpu"
    child.save(one, parent(), exported)
    files.write_text(exported / "README.md", "# A child\n")
    files.write_text(exported / "child.gguf", "a file of llama.cpp")
    found = {"speed": None, "tasks": None, "samples": None}
    result.publish(plan.make(request(stock=True), tmp_path, tmp_path, (facts(), text())), found, tmp_path)
    there = tmp_path / "child"
    network = AutoModelForCausalLM.from_pretrained(there, dtype=torch.float32)
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.allclose(network(tokens).logits, one(tokens), atol=1e-4)
    assert network.config.num_hidden_layers == 2 and (there / "child.gguf").is_file()
    card = (there / "README.md").read_text()
    assert card.startswith("# A child\n") and "LlamaForCausalLM, a class of transformers', with 2 layers" in card
    assert "## Measured speed" in card
