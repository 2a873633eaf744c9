"""Children in the forms that engines read unmodified, by a reader of our own; test_engines has the engines."""

import json

import pytest
import torch
from decilm import Reader
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from tessera.common import files
from tessera.puzzle import child
from tessera.puzzle.export_cli import app
from tessera.puzzle.models import loading
from tessera.puzzle.models import variants as building
from tessera.puzzle.models.space import Attention
from tessera.puzzle.serve.stock import export

TOKENS = torch.randint(1, 64, (2, 20), generator=torch.Generator().manual_seed(5))
#: What one Nemotron-NAS child has; those with linear maps have no form in vLLM by default.
MIXED = {
    "narrow": ["kv1+ffn50", "parent+ffn25", "kv1+parent"],
    "gaps": ["parent+no_op", "no_op+ffn50", "kv1+ffn25"],
    "no attention first": ["no_op+ffn50", "parent+no_op", "no_op+ffn25"],
    "empty first": ["no_op+no_op", "parent+ffn50", "no_op+parent"],
    "linear attention": ["linear+ffn50", "parent+parent", "linear+ffn25"],
    "linear FFN": ["kv1+linear", "parent+linear", "parent+ffn50"],
    "linear alone": ["linear+no_op", "no_op+linear", "kv1+parent"],
}
PLAIN = {
    "parent": ["parent+parent"] * 3,
    "narrow": ["kv1+ffn50"] * 3,
    "fewer": ["kv1+parent", "no_op+no_op", "kv1+parent"],
    "one": ["no_op+no_op", "no_op+no_op", "parent+ffn25"],
}
#: Parents by what engines cannot compute of them: biases, heads that do not fill the hidden size.
PARENTS = {
    "llama": [],
    "llama_biases": ["tensorrt-llm"],
    "llama_llama3": ["mlx"],
    "llama_linear": [],
    "mistral": [],
    "qwen2": ["tensorrt-llm"],
}


@pytest.fixture
def windowed(parent, tmp_path):
    """The directory of a child whose first attention has a window, and the child."""
    whole = loading.load(parent("llama"))
    layer = whole.layers[0]
    part = building.part(layer, whole.config, Attention(kind="gqa", window=8))
    module = building.build(layer, whole.config, part, "attention")
    module.load_state_dict(layer.subblock("attention").state_dict(), assign=True)
    one = child.exchanged(whole, {(0, "attention"): (module, part)})
    child.save(one, parent("llama"), tmp_path / "child")
    return tmp_path / "child", one


@pytest.fixture
def made(parent, library, variants, tmp_path):
    """The directory of a child, and the child."""

    def make(choice, name="llama"):
        one = child.assemble(loading.load(parent(name)), variants, library(name), choice)
        child.save(one, parent(name), tmp_path / "child")
        return tmp_path / "child", one

    return make


def close(found, expected):
    assert (found - expected).abs().max() < 2e-5 * expected.abs().max()


@pytest.mark.parametrize("engine", ["vllm", "tensorrt-llm", "mlx"])
@pytest.mark.parametrize(
    "choice, name",
    [(choice, name) for name in PARENTS for choice in (MIXED if name == "llama" else ("gaps", "linear attention"))],
)
def test_mixed_children_are_read_as_nemotron_nas(made, tmp_path, choice, name, engine):
    directory, one = made(MIXED[choice], name)
    out = tmp_path / "out"
    if engine in PARENTS[name]:
        with pytest.raises(ValueError, match="As Nemotron-NAS: "):
            export.write(directory, out, engine, "float32")
        assert not out.exists()
        return
    report = export.write(directory, out, engine, "float32", maps_as_ffns=engine == "vllm")
    reader = Reader(out, engine)
    with torch.no_grad():
        close(reader.logits(TOKENS), one(TOKENS))
    assert report.parameters == sum(value.numel() for value in reader.tensors.values())
    assert "Nemotron-NAS" in report.form and files.read_json(out / "export.json")["notes"] == report.notes
    card = (out / "README.md").read_text()
    assert all(note in card for note in report.notes) and "checked: no logits" in card
    gated = engine == "vllm" and "linear" in choice
    assert any("three times their weights" in note for note in report.notes) == gated
    padded = engine != "vllm"  # no channels here are a multiple of 256
    assert any("filled up with zeros to 256" in note for note in report.notes) == padded


@pytest.mark.parametrize(
    "choice, name, engine",
    [(choice, name, "hf") for name in (*PARENTS, "qwen3", "gemma3") for choice in PLAIN]
    + [("fewer", "qwen3", engine) for engine in ("vllm", "tensorrt-llm", "mlx")],
)
def test_children_of_one_size_are_their_parents_class(made, parent, tmp_path, choice, name, engine):
    directory, one = made(PLAIN[choice], name)
    out = tmp_path / "out"
    report = export.write(directory, out, engine, "float32")
    config = files.read_json(out / "config.json")
    assert config["architectures"] == files.read_json(parent(name) / "config.json")["architectures"]
    assert config["num_hidden_layers"] == 3 - sum(block == "no_op+no_op" for block in PLAIN[choice])
    assert not config.keys() & {"auto_map", "puzzle_blocks", "block_configs", "per_layer_config"}
    network = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    with torch.no_grad():
        close(network(TOKENS).logits, one(TOKENS))
    assert config["architectures"][0] in report.form and "logits as the child's" in report.checked[0]
    assert "checked: transformers reads it" in (out / "README.md").read_text()


def test_query_heads_may_be_dropped_in_all_layers(parent, tmp_path):
    whole = loading.load(parent("llama"))
    replaced = {}
    for layer in whole.layers:
        part = building.part(layer, whole.config, Attention(kind="gqa", kv_heads=1, reduction="drop"))
        module = building.build(layer, whole.config, part, "attention").to_empty(device="cpu")
        for number, weight in enumerate(module.parameters()):
            weight.normal_(0, 0.2, generator=torch.Generator().manual_seed(number + 9 * layer.index))
        replaced[layer.index, "attention"] = module, part
    one = child.exchanged(whole, replaced)
    child.save(one, parent("llama"), tmp_path / "child")
    export.write(tmp_path / "child", tmp_path / "out", "hf", "float32")
    config = files.read_json(tmp_path / "out/config.json")
    assert (config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]) == (2, 1, 8)
    with torch.no_grad():
        network = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
        close(network(TOKENS).logits, one(TOKENS))


def test_a_parent_is_its_own_plain_form(parent, tmp_path):
    report = export.write(parent("llama"), tmp_path / "out", "mlx", "float32")
    assert "with all its layers" in report.form
    assert files.read_json(tmp_path / "out/config.json")["num_hidden_layers"] == 3


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_are_rounded_and_the_linear_maps_gate_is_exact(made, tmp_path, dtype):
    directory, one = made(MIXED["linear FFN"])
    export.write(directory, tmp_path / "out", "vllm", dtype, maps_as_ffns=True)
    tensors = files.load_tensors(tmp_path / "out/model.safetensors")
    assert {str(value.dtype) for value in tensors.values()} == {f"torch.{dtype}"}
    (bias,) = {float(b) for name, b in ((n, v[0]) for n, v in tensors.items() if n.endswith("gate_proj.bias")) if b}
    assert bias == 1.28125
    with torch.no_grad():
        found, expected = Reader(tmp_path / "out", "vllm").logits(TOKENS), one(TOKENS)
    assert (found - expected).abs().max() < 0.03 * expected.abs().max()


def test_windows_have_no_form_but_the_childs_own(windowed, tmp_path):
    directory, _ = windowed
    with pytest.raises(ValueError, match=r"attention of layer 0 has a window of its own.*attention differs in window"):
        export.write(directory, tmp_path / "out", "mlx")


@pytest.mark.parametrize("kind", ["mixed", "windowed"])
def test_other_children_are_read_by_transformers_with_their_own_code(request, made, tmp_path, kind):
    if kind == "mixed":
        directory, one = made(["kv1+ffn50", "linear+no_op", "parent+parent"])
    else:
        directory, one = request.getfixturevalue("windowed")
    report = export.write(directory, tmp_path / "out", "hf", "float32")
    network = AutoModelForCausalLM.from_pretrained(tmp_path / "out", trust_remote_code=True, dtype=torch.float32)
    with torch.no_grad():
        close(network(TOKENS).logits, one(TOKENS))
    assert "modeling_child.py" in report.form and "no plain class: " in report.notes[0]


@pytest.mark.parametrize(
    "choice, engine, words",
    [
        (["linear+parent"] * 3, "vllm", r"vLLM has no linear maps, as in layers 0, 1, 2; .*--maps-as-ffns"),
        (
            ["parent+parent", "kv1+parent", "parent+parent"],
            "hf",
            "layers 0 and 1 differ in num_key_value_heads, 2 and 1",
        ),
        (["parent+parent", "parent+no_op", "parent+parent"], "hf", "layer 1 has no ffn, which no plain class has"),
        (["no_op+no_op"] * 3, "hf", "no layer is left"),
    ],
)
def test_what_has_no_form_is_named(made, tmp_path, choice, engine, words):
    directory, _ = made(choice)
    if engine == "hf":
        assert export.write(directory, tmp_path / "out", engine).notes[0].startswith("no plain class: ")
        with pytest.raises(ValueError, match=words):
            export.plain.convert(loading.load(directory), files.read_json(directory / "config.json"))
        return
    with pytest.raises(ValueError, match=words):
        export.write(directory, tmp_path / "out", engine)
    assert not (tmp_path / "out").exists()


def test_families_that_are_not_llamas_have_no_mixed_form(made, tmp_path):
    directory, _ = made(["kv1+parent", "parent+parent", "parent+ffn50"], "gemma3")
    with pytest.raises(ValueError, match="has no form for model_type 'gemma3_text'; expected one of llama, mistral"):
        export.write(directory, tmp_path / "out", "tensorrt-llm")


def test_a_plain_class_that_computes_something_else_is_refused(made, tmp_path, monkeypatch):
    """A family may count its layers, so that what is left of them is not what it was."""
    directory, _ = made(PLAIN["fewer"])
    convert = export.plain.convert

    def wrong(model, config):
        form = convert(model, config)
        form.config["rms_norm_eps"] = 0.1
        return form

    monkeypatch.setattr(export.plain, "convert", wrong)
    report = export.write(directory, tmp_path / "out", "hf", "float32")
    assert "computes something else: logits differ by" in report.notes[0] and "own class" in report.form


def test_command(made, tmp_path):
    directory, _ = made(MIXED["linear FFN"])
    (directory / "README.md").write_text("# A card\n")

    def call(*arguments):
        return CliRunner().invoke(app, ["export", str(directory), "--out", str(tmp_path / "out"), *arguments])

    done = call("--for", "vllm", "--maps-as-ffns", "--dtype", "float32")
    assert done.exit_code == 0 and "Nemotron-NAS (DeciLMForCausalLM) as vLLM reads it" in done.output, done.output
    assert (tmp_path / "out/README.md").read_text().startswith("# A card\n\n## This copy: for vLLM\n")
    assert json.loads((tmp_path / "out/export.json").read_text())["for"] == "vllm"
    for arguments, words in (
        (("--for", "vllm"), "vLLM by itself has no form for this child"),
        (("--for", "mlx", "--maps-as-ffns"), "--maps-as-ffns is for vllm; mlx has linear maps"),
        (("--for", "llama.cpp", "--maps-as-ffns"), "--maps-as-ffns is for vllm; llama.cpp has linear maps"),
        (("--for", "hf", "--dtype", "q8_0"), "--dtype q8_0 is for llama.cpp; expected one of bfloat16"),
        (("--for", "hf", "--tokenizer-pre", "gpt-2"), "--tokenizer-pre is for llama.cpp, not for hf"),
    ):
        refused = call(*arguments)
        assert refused.exit_code == 1 and words in refused.output.replace("\n", " "), (arguments, refused.output)
    assert (tmp_path / "out/export.json").is_file()  # what was there stays


def test_nothing_is_replaced_but_an_earlier_export(made, tmp_path):
    directory, _ = made(MIXED["narrow"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("precious")
    (tmp_path / "file").write_text("a text")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def call(out, engine="mlx", *arguments, source=directory):
        return CliRunner().invoke(app, ["export", str(source), "--for", engine, "--out", str(out), *arguments])

    for out, words in (
        (tmp_path / "mine", "is not empty, and no earlier export"),
        (directory, "is the child's own directory, in it or around it"),
        (directory / "sub", "is the child's own directory, in it or around it"),
        (directory / f"../{directory.name}", "is the child's own directory, in it or around it"),
        (tmp_path, "is the child's own directory, in it or around it"),
        (tmp_path / "file", "is a file; expected a directory"),
        (tmp_path / "link", "is a link; expected a new place"),
    ):
        refused = call(out)
        assert refused.exit_code == 1 and words in refused.output.replace("\n", " "), (out, refused.output)
    for out in (tmp_path / "file", tmp_path / "mine"):
        refused = call(out, "llama.cpp", "--tokenizer-pre", "gpt-2")
        assert refused.exit_code == 1 and "is there, and is no GGUF file" in refused.output.replace("\n", " ")
    for source, words in ((tmp_path / "none", "no such directory"), (tmp_path / "file", "is a file")):
        assert words in call(tmp_path / "out", source=source).output
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    for _ in range(2):  # an earlier export is replaced
        done = call(tmp_path / "empty", "mlx", "--license", "mit")
        assert done.exit_code == 0, done.output
    assert (tmp_path / "empty/README.md").read_text().startswith("---\nlicense: mit\n")


def test_damaged_children_are_named(made, tmp_path):
    directory, _ = made(MIXED["narrow"])
    weights = (directory / "model.safetensors").read_bytes()
    (directory / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    asked = ["export", str(directory), "--for", "hf", "--out", str(tmp_path / "out")]
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code == 1 and "model.safetensors" in refused.output, refused.output
    (directory / "config.json").write_text("{")
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code == 1 and "config.json" in refused.output and not (tmp_path / "out").exists()
