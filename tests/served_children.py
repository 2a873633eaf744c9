"""Children of drawn weights, and what vLLM in an environment of its own writes after prompts, beside transformers."""

import json
import subprocess
from pathlib import Path

import tiny_models
import torch
from family_chain import directory_of

from tessera.puzzle import child
from tessera.puzzle.models import loading, variants
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.serve.generate import generate

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / "build/vllm/bin/python"
COUNT = 12
PROMPTS = torch.randint(3, 97, (4, 20), generator=torch.Generator().manual_seed(4))
#: Attention of a size that vLLM has kernels for on a CPU.
SIZES = {
    "hidden_size": 128,
    "head_dim": 32,
    "num_key_value_heads": 4,
    "intermediate_size": 128,
    "query_pre_attn_scalar": 32,
}


def saved(family: str, blocks: list, place: Path, **sizes: object) -> Path:
    """The directory of a child with drawn weights, of a parent in the same place."""
    changes = {"tie_word_embeddings": "gemma" in family, "max_position_embeddings": 16384}
    network = tiny_models.network(family, **SIZES | changes | sizes)
    parent = LanguageModel(network)
    replaced = {}
    torch.manual_seed(1)
    for layer, block in zip(parent.layers, blocks, strict=True):
        for place_of, variant in zip(("attention", "ffn"), block, strict=True):
            part = variants.part(layer, parent.config, variant)
            if part == {"kind": "own"}:
                continue
            module = None
            if variant.kind != "no_op":
                module = variants.build(layer, parent.config, part, place_of).to_empty(device="cpu")
                for weight in module.parameters():
                    weight.normal_(0, 0.1)
            replaced[layer.index, place_of] = module, part
    made = child.exchanged(parent, replaced)
    directory_of(network, place / "parent")
    child.save(made, place / "parent", place / "child")
    return place / "child"


def expected(directory: Path) -> dict:
    """What transformers writes after the prompts, in float32."""
    model = loading.load(directory)
    tokens = generate(model, PROMPTS, COUNT)
    with torch.no_grad():
        logits = model(torch.cat((PROMPTS, tokens), 1))[:, PROMPTS.shape[1] - 1 : -1]
    return {
        "tokens": tokens.tolist(),
        "log_probabilities": logits.double().log_softmax(-1).gather(-1, tokens[..., None])[..., 0].tolist(),
    }


def close(answer: dict, there: dict, tolerance: float = 2e-4) -> None:
    """Check that the same tokens were written, with the same log-probabilities."""
    assert "error" not in answer, answer["error"]
    assert answer["tokens"] == there["tokens"]
    differences = torch.tensor(answer["log_probabilities"]) - torch.tensor(there["log_probabilities"])
    assert differences.abs().max() < tolerance


def served(directories: list[Path], place: Path, dtype: str = "float32", **settings: object) -> dict:
    """What vLLM answers, by directory."""
    request = {"models": [str(d) for d in directories], "prompts": PROMPTS.tolist(), "count": COUNT, "dtype": dtype}
    (place / "request.json").write_text(json.dumps(request | {"settings": settings}))
    worker = [PYTHON, ROOT / "tests/vllm_worker.py", place / "request.json", place / "answer.json"]
    done = subprocess.run(worker, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((place / "answer.json").read_text())
