"""Stock forms of children in the engines that read them, in environments of their own (`make test-serve`).

TensorRT-LLM needs a GPU; what it reads is tried by a reader of our own alone, in test_stock.
"""

import json
import subprocess
from functools import partial
from pathlib import Path

import pytest
import served_children
from served_children import PROMPTS, ROOT, close, expected, saved

from tessera.puzzle.models.space import FFN, Attention
from tessera.puzzle.serve.stock import export

pytestmark = pytest.mark.serve

MLX = ROOT / "build/mlx/bin/python"
PARENT = (Attention(kind="gqa"), FFN(kind="gated"))
NARROW = (Attention(kind="gqa", kv_heads=1), FFN(kind="gated", width=0.5))
EMPTY = (Attention(kind="no_op"), FFN(kind="no_op"))
#: Four layers each.
CHILDREN = {
    "mixed": [PARENT, (Attention(kind="gqa", kv_heads=2), FFN(kind="no_op")), (EMPTY[0], NARROW[1]), NARROW],
    "maps": [(PARENT[0], FFN(kind="linear")), (Attention(kind="linear"), NARROW[1]), EMPTY, PARENT],
    "no attention first": [(EMPTY[0], NARROW[1]), PARENT, (Attention(kind="linear"), FFN(kind="linear")), NARROW],
    "plain": [NARROW, EMPTY, NARROW, NARROW],
}
FAMILIES = ("llama", "mistral", "qwen2")


def of_mlx(directories: list[Path], place: Path) -> dict:
    """What MLX answers, by directory."""
    request = {"models": [str(d) for d in directories], "prompts": PROMPTS.tolist(), "count": served_children.COUNT}
    (place / "request.json").write_text(json.dumps(request))
    worker = [MLX, ROOT / "tests/mlx_worker.py", place / "request.json", place / "answer.json"]
    done = subprocess.run(worker, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((place / "answer.json").read_text())


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """By engine, family and child: what it writes, and what transformers does."""
    place = tmp_path_factory.mktemp("stock")
    children = {
        (family, name): saved(family, blocks, place / family / name, sliding_window=None)
        for family in FAMILIES
        for name, blocks in CHILDREN.items()
    }
    found = {}
    for engine, ask in (("vllm", partial(served_children.served, trust_remote_code=True)), ("mlx", of_mlx)):
        written = {}
        for (family, name), directory in children.items():
            written[family, name] = place / engine / family / name
            export.write(directory, written[family, name], engine, "float32", maps_as_ffns=engine == "vllm")
        there = ask([*written.values()], place)
        found |= {(engine, *key): there[str(directory)] for key, directory in written.items()}
    return found, {key: expected(directory) for key, directory in children.items()}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("engine", ["vllm", "mlx"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", CHILDREN)
def test_the_engine_writes_what_transformers_writes(answers, engine, family, name):
    found, there = answers
    close(found[engine, family, name], there[family, name])
