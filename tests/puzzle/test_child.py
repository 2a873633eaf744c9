"""Children: assembled from a block library, saved, and loaded here and by transformers."""

import json
import shutil

import pytest
import torch
from tiny_models import PARENTS
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoModelForCausalLM, AutoTokenizer

from tessera.common import files
from tessera.puzzle import child
from tessera.puzzle.models import loading
from tessera.puzzle.models.space import FFN, Attention

TOKENS = torch.randint(1, 64, (2, 24), generator=torch.Generator().manual_seed(1))
CHOICES = {
    "parent": ["parent+parent", "parent+parent", "parent+parent"],
    "late attention": ["no_op+ffn50", "linear+parent", "kv1+linear"],
    "no attention": ["no_op+ffn25", "linear+parent", "no_op+ffn50"],
    "merged heads": ["kv1+no_op", "parent+ffn50", "kv1+linear"],
    "nothing but one": ["no_op+no_op", "parent+no_op", "no_op+no_op"],
}


@pytest.fixture(params=CHOICES)
def saved(request, parent, library, variants, tmp_path):
    """A child in memory, and the directory it was saved to."""
    made = child.assemble(loading.load(parent()), variants, library(), CHOICES[request.param])
    child.save(made, parent(), tmp_path / "child")
    return made, tmp_path / "child"


def transformers_model(directory):
    return AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True).eval()


def padded(tokens, lengths):
    """Left-padded (B, T) tokens and their attention mask."""
    mask = torch.arange(tokens.shape[1])[None] >= tokens.shape[1] - torch.tensor(lengths)[:, None]
    return tokens * mask, mask.long()


@torch.no_grad()
def test_loads_here_and_in_transformers_as_it_was_in_memory(saved):
    made, directory = saved
    expected = made(TOKENS)
    assert torch.equal(child.load(directory)(TOKENS), expected)
    theirs = transformers_model(directory)
    torch.testing.assert_close(theirs(TOKENS).logits, expected, rtol=1e-5, atol=1e-6)
    assert {p.dtype for p in theirs.parameters()} == {torch.float32}


@torch.no_grad()
def test_generation_with_a_cache_equals_that_without(saved):
    made, directory = saved
    theirs, expected = transformers_model(directory), TOKENS
    for _ in range(8):
        expected = torch.cat((expected, made(expected)[:, -1:].argmax(-1)), 1)
    for use_cache in (True, False):
        found = theirs.generate(
            TOKENS, attention_mask=torch.ones_like(TOKENS), max_new_tokens=8, do_sample=False, use_cache=use_cache
        )
        assert torch.equal(found, expected)


@torch.no_grad()
def test_left_padded_batch_equals_single_runs(saved):
    made, directory = saved
    theirs, lengths = transformers_model(directory), [9, 24]
    tokens, mask = padded(TOKENS, lengths)
    logits = theirs(tokens, attention_mask=mask).logits
    generated = theirs.generate(tokens, attention_mask=mask, max_new_tokens=6, do_sample=False)
    for i, length in enumerate(lengths):
        alone = TOKENS[i : i + 1, -length:]
        torch.testing.assert_close(logits[i, -length:], made(alone)[0], rtol=1e-4, atol=1e-5)
        by_itself = theirs.generate(alone, attention_mask=torch.ones_like(alone), max_new_tokens=6, do_sample=False)
        assert torch.equal(generated[i, -6:], by_itself[0, -6:])


@torch.no_grad()
def test_last_logits_alone_and_loss(saved):
    _, directory = saved
    theirs = transformers_model(directory)
    whole = theirs(TOKENS, labels=TOKENS)
    torch.testing.assert_close(theirs(TOKENS, logits_to_keep=3).logits, whole.logits[:, -3:])
    torch.testing.assert_close(theirs(TOKENS, logits_to_keep=torch.tensor([4, 7])).logits, whole.logits[:, [4, 7]])
    expected = torch.nn.functional.cross_entropy(whole.logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten())
    torch.testing.assert_close(whole.loss, expected)
    by_embedding = theirs(inputs_embeds=theirs.get_input_embeddings()(TOKENS)).logits
    torch.testing.assert_close(by_embedding, whole.logits)


@torch.no_grad()
def test_beams_reorder_the_cache(parent, library, variants, tmp_path):
    made = child.assemble(loading.load(parent()), variants, library(), CHOICES["late attention"])
    child.save(made, parent(), tmp_path / "child")
    theirs = transformers_model(tmp_path / "child")
    settings = {"max_new_tokens": 6, "num_beams": 3, "do_sample": False, "attention_mask": torch.ones_like(TOKENS)}
    found = [theirs.generate(TOKENS, use_cache=use_cache, **settings) for use_cache in (True, False)]
    assert torch.equal(*found)


@torch.no_grad()
@pytest.mark.parametrize("name", PARENTS)
def test_child_of_every_kind_of_parent(name, parent, library, variants, tmp_path):
    teacher = loading.load(parent(name))
    same = child.assemble(teacher, variants, library(name), ["parent+parent"] * 3)
    assert torch.equal(same(TOKENS), teacher(TOKENS))
    choice = ["parent+ffn50", "linear+parent", "parent+linear"]
    made = child.assemble(teacher, variants, library(name), choice)
    child.save(made, parent(name), tmp_path / "child")
    theirs = transformers_model(tmp_path / "child")
    torch.testing.assert_close(theirs(TOKENS).logits, made(TOKENS), rtol=1e-5, atol=1e-5)
    assert torch.equal(child.load(tmp_path / "child")(TOKENS), made(TOKENS))
    tied = theirs.get_output_embeddings().weight is theirs.get_input_embeddings().weight
    assert tied == bool(PARENTS[name][1].get("tie_word_embeddings"))


@torch.no_grad()
def test_parent_with_an_older_configuration(parent, library, variants, tmp_path):
    """rope_theta and rope_scaling beside each other, and no word of tied embeddings, as transformers 4 wrote them."""
    older = shutil.copytree(parent("llama_linear"), tmp_path / "older")
    config = json.loads((older / "config.json").read_text())
    del config["rope_parameters"], config["tie_word_embeddings"]
    config |= {"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 4.0}}
    (older / "config.json").write_text(json.dumps(config))
    teacher = loading.load(older)
    assert torch.equal(teacher(TOKENS), loading.load(parent("llama_linear"))(TOKENS))
    made = child.assemble(teacher, variants, library("llama_linear"), CHOICES["late attention"])
    child.save(made, older, tmp_path / "child")
    theirs = transformers_model(tmp_path / "child")
    torch.testing.assert_close(theirs(TOKENS).logits, made(TOKENS), rtol=1e-5, atol=1e-5)


def test_child_shares_no_storage_with_its_parent(parent, library, variants):
    teacher = loading.load(parent())
    made = child.assemble(teacher, variants, library(), CHOICES["merged heads"])
    theirs = {p.data_ptr() for p in teacher.parameters()}
    assert theirs.isdisjoint(p.data_ptr() for p in made.parameters())
    assert not any(p.requires_grad for p in made.parameters())
    assert made.network.lm_head.weight is made.network.model.embed_tokens.weight


def test_saved_configuration_is_the_parents_and_describes_every_layer(saved, parent):
    made, directory = saved
    config = json.loads((directory / "config.json").read_text())
    own = json.loads((parent() / "config.json").read_text())
    assert {key: config[key] for key in own if key not in ("architectures", "dtype")} == {
        key: own[key] for key in own if key not in ("architectures", "dtype")
    }
    assert config["architectures"] == ["ChildLlamaForCausalLM"]
    assert config["auto_map"] == {"AutoModelForCausalLM": "modeling_child.ChildLlamaForCausalLM"}
    assert len(config["puzzle_blocks"]) == 3
    for layer, block in zip(made.layers, config["puzzle_blocks"], strict=True):
        for place in ("attention", "ffn"):
            kind, module = block[place].get("kind"), layer.subblock(place)
            assert (kind in ("no_op", "linear")) == (type(module).__name__ == "Exchange")
            assert (kind == "linear") == (getattr(module, "linear", None) is not None)
            norm = {"attention": "input_layernorm", "ffn": "post_attention_layernorm"}[place]
            assert (kind == "no_op") == isinstance(getattr(layer.module, norm), torch.nn.Identity)


@pytest.mark.parametrize("name", [name for name in CHOICES if name != "parent"])
def test_a_reader_that_does_not_know_children_fails_instead_of_guessing(parent, library, variants, tmp_path, name):
    made = child.assemble(loading.load(parent()), variants, library(), CHOICES[name])
    child.save(made, parent(), tmp_path / "child")
    with pytest.raises(Exception, match="per-layer attribute"):
        AutoModelForCausalLM.from_pretrained(tmp_path / "child", trust_remote_code=False)


def test_saved_twice_is_the_same_bytes(saved, parent, tmp_path):
    made, directory = saved
    (directory / "left over").touch()
    child.save(made, parent(), tmp_path / "again")
    child.save(made, parent(), directory)
    first, second = ({p.name: p.read_bytes() for p in d.iterdir()} for d in (directory, tmp_path / "again"))
    assert first == second


def test_tokenizer_and_generation_settings_travel(parent, library, variants, tmp_path):
    source = shutil.copytree(parent(), tmp_path / "parent")
    words = Tokenizer(WordLevel({"[unk]": 0, "hello": 1, "world": 2}, unk_token="[unk]"))
    words.pre_tokenizer = Whitespace()
    words.save(str(source / "tokenizer.json"))
    (source / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (source / "generation_config.json").write_text('{"eos_token_id": 2}')
    made = child.assemble(loading.load(source), variants, library(), CHOICES["parent"])
    child.save(made, source, tmp_path / "child")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "child", trust_remote_code=True)
    assert tokenizer("world hello").input_ids == [2, 1]
    assert transformers_model(tmp_path / "child").generation_config.eos_token_id == 2


def test_missing_library_file_is_named(parent, library, variants, tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"no layer_0\.safetensors in {tmp_path}"):
        child.assemble(loading.load(parent()), variants, [tmp_path], CHOICES["merged heads"])


def test_tensors_that_do_not_fit_are_named(parent, library, variants, tmp_path):
    model = loading.load(parent())
    where = model.layers[0], model.config
    path = tmp_path / "layer_0.safetensors"
    files.save_tensors(path, {"ffn.ffn50/gate_proj.weight": torch.ones(24, 32)})
    with pytest.raises(ValueError, match=r"(?s)layer_0\.safetensors: ffn\.ffn50 does not fit .*Missing.*up_proj"):
        child.subblock(*where, FFN(kind="gated", width=0.5), "ffn.ffn50", path)
    files.save_tensors(path, {"attention.linear/linear.weight": torch.ones(32, 31)})
    with pytest.raises(ValueError, match=r"(?s)layer_0\.safetensors: attention\.linear does not fit .*size mismatch"):
        child.subblock(*where, Attention(kind="linear"), "attention.linear", path)
    path.write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"layer_0\.safetensors: truncated or not"):
        child.subblock(*where, Attention(kind="linear"), "attention.linear", path)


def test_chosen_row(tmp_path):
    path = tmp_path / "children.json"
    rows = {
        "mip": {"status": "optimal", "blocks": ["parent+no_op"]},
        "greedy": {"status": "infeasible", "blocks": [], "smallest_feasible": {"stats.runtime_ms": 2.5}},
    }
    files.write_json(path, {"children": rows})
    assert child.chosen(path, "mip")["blocks"] == ["parent+no_op"]
    with pytest.raises(ValueError, match=r"children\.json: no child of method 'random'; expected one of greedy, mip"):
        child.chosen(path, "random")
    with pytest.raises(ValueError, match=r"greedy has no child within the budget; .*2\.5"):
        child.chosen(path, "greedy")
