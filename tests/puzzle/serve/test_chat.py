"""Parent and child side by side: what is drawn, how far they are apart, and the command."""

import io
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.decoders import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM
from typer.testing import CliRunner

from tessera.cli import app
from tessera.puzzle import child
from tessera.puzzle.models import loading
from tessera.puzzle.serve import chat, generate
from tessera.puzzle.serve.chat import ByTorch, Next, answers, divergence

PROMPT = [5, 9, 3, 11]


def following(probabilities):
    kept = np.flatnonzero(probabilities)
    return Next(kept, np.log(np.asarray(probabilities, float)[kept]))


def test_the_likeliest_is_taken_or_one_is_drawn():
    one = following([0.1, 0.0, 0.6, 0.3])
    assert one.draw(0.0, 0.99) == 2
    assert [one.draw(1.0, u) for u in (0.0, 0.09, 0.11, 0.69, 0.71, 0.999)] == [0, 0, 2, 2, 3, 3]
    drawn = [one.draw(2.0, u) for u in np.linspace(0, 1, 2000, endpoint=False)]
    roots = np.sqrt([0.1, 0.6, 0.3])
    assert [drawn.count(token) / 2000 for token in (0, 2, 3)] == pytest.approx(roots / roots.sum(), abs=1e-3)


def simplex(size):
    return st.lists(st.floats(0.01, 1), min_size=size, max_size=size).map(lambda x: np.array(x) / sum(x))


@given(simplex(8), simplex(8), st.integers(2, 7))
def test_divergence_of_the_likeliest_is_at_most_the_whole(p, q, kept):
    whole = divergence(following(p), following(q))
    assert whole == pytest.approx(float((p * np.log(p / q)).sum()), abs=1e-12)
    likeliest = [Next(np.sort(np.argsort(x)[-kept:]), np.log(x[np.sort(np.argsort(x)[-kept:])])) for x in (p, q)]
    assert 0 <= divergence(*likeliest) <= whole + 1e-9
    assert divergence(following(p), following(p)) == 0


@pytest.fixture
def pair(parent, library, variants):
    whole = loading.load(parent())
    return whole, child.assemble(whole, variants, library(), ["kv1+ffn50", "parent+parent", "linear+ffn25"])


def test_answers_are_those_that_each_gives_alone(pair):
    whole, smaller = pair
    ticks = iter(range(1000))
    *_, turn = answers(
        lambda: ByTorch(whole, 32), lambda: ByTorch(smaller, 32), PROMPT, [], 8, clock=lambda: float(next(ticks))
    )
    for model, answer in ((whole, turn.parent), (smaller, turn.child)):
        alone = generate.generate(model, torch.tensor([PROMPT]), 8)[0].tolist()
        assert answer.tokens == alone and answer.seconds == 7.0 and answer.tokens_per_s == 1.0
    text = torch.tensor([PROMPT + turn.child.tokens])
    p, q = (model(text)[0, len(PROMPT) - 1 : -1].double().log_softmax(-1) for model in pair)
    assert turn.kl == pytest.approx((p.exp() * (p - q)).sum(-1).tolist(), abs=1e-5)


def test_an_answer_ends_with_its_own_token(pair):
    whole, smaller = pair
    alone = generate.generate(smaller, torch.tensor([PROMPT]), 8)[0].tolist()
    end = alone[3]
    turns = list(answers(lambda: ByTorch(whole, 32), lambda: ByTorch(smaller, 32), PROMPT, [end], 8))
    assert turns[-1].child.tokens == alone[: alone.index(end) + 1] and turns[-1].child.done
    assert len(turns[-1].kl) == len(turns[-1].child.tokens)
    assert len(turns[-1].parent.tokens) == 8 or turns[-1].parent.tokens[-1] == end


def test_the_parent_as_its_own_child_is_not_apart(pair):
    whole, _ = pair
    *_, turn = answers(lambda: ByTorch(whole, 32), lambda: ByTorch(whole, 32), PROMPT, [], 8, temperature=1.0, seed=3)
    assert turn.parent.tokens == turn.child.tokens and max(turn.kl) < 1e-9


@pytest.fixture
def run(tmp_path):
    """A run of compress: parent and child in their places, with a tokenizer of letters."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    made = LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=258, num_key_value_heads=2, tie_word_embeddings=True))
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(models.BPE({"<end>": 0, "<s>": 1} | {letter: i + 2 for i, letter in enumerate(letters)}, []))
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), ByteLevel()
    words.add_special_tokens(["<end>", "<s>"])
    for place in ("data/parent", "child"):
        made.save_pretrained(tmp_path / place)
        words.save(str(tmp_path / place / "tokenizer.json"))
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>"}
        (tmp_path / place / "tokenizer_config.json").write_text(json.dumps(settings))
        (tmp_path / place / "generation_config.json").write_text(json.dumps({"eos_token_id": 0}))
    return tmp_path


def call(run, text, *arguments):
    return CliRunner().invoke(app, ["puzzle", "chat", *arguments], input=text)


def test_the_command_talks_by_torch(run):
    answer = call(run, "Hello\nAgain\n\nAnew\n", str(run / "child"), "--engine", "torch", "--tokens", "5")
    assert answer.exit_code == 0, answer.output
    assert "by torch, float32" in answer.output and answer.output.count("KL 0.000 nats a token of its answer, 5") == 3


def test_what_is_wrong_is_said(run, tmp_path):
    alone = tmp_path / "alone"
    (run / "child").rename(alone)
    answer = call(run, "Hello\n", str(alone / "deeper"), "--engine", "torch")
    assert answer.exit_code == 1 and "expected --parent DIRECTORY" in answer.output
    answer = call(
        run,
        100 * "Hello " + "\n",
        str(alone),
        "--parent",
        str(run / "data/parent"),
        "--engine",
        "torch",
        "--room",
        "64",
    )
    assert answer.exit_code == 0 and "expected at most --room - --tokens" in answer.output


@pytest.mark.slow
def test_the_command_talks_in_llama_cpp(run):
    answer = call(run, "Hello\n", str(run / "child"), "--dtype", "float32", "--tokens", "5")
    assert answer.exit_code == 0, answer.output
    assert "by llama.cpp (xllamacpp" in answer.output and "float32; an empty line" in answer.output
    by_torch = call(run, "Hello\n", str(run / "child"), "--engine", "torch", "--tokens", "5")
    boxes = [[line for line in a.output.splitlines() if line.startswith("│")] for a in (answer, by_torch)]
    assert boxes[0] == boxes[1]


def test_llama_cpps_reader_goes_on(monkeypatch):
    """It is given all tokens so far, of which its cache has the first."""
    asked = []

    class Fake:
        def __init__(self, path, room):
            pass

        def log_probabilities(self, tokens, most, cache_prompt):
            asked.append((list(tokens), most, cache_prompt))
            return {7: np.log(0.25), 2: np.log(0.75)}

    monkeypatch.setattr(chat, "Engine", Fake)
    reader = chat.ByLlamaCpp(io, 16)
    reader.read([1, 2])
    found = reader.read([3])
    assert asked == [([1, 2], 200, True), ([1, 2, 3], 200, True)]
    assert found.tokens.tolist() == [2, 7] and found.draw(0.0, 0.0) == 2
