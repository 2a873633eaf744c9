"""In MLX's environment: what models write after prompts, with log-probabilities.

    python mlx_worker.py REQUEST ANSWER

REQUEST is a JSON object: `models` (directories), `prompts` (lists of token ids of one length) and `count`. ANSWER gets,
by model, `tokens` and `log_probabilities` (prompts, count), or `error`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model


def answer(request: dict[str, Any], directory: str) -> dict[str, Any]:
    """What one model answers."""
    try:
        model, _ = load_model(Path(directory))
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    cache, tokens, likely = make_prompt_cache(model), [], []
    x = mx.array(request["prompts"])
    for _ in range(request["count"]):
        logits = model(x, cache=cache)[:, -1].astype(mx.float32)
        scores = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        x = mx.argmax(scores, axis=-1, keepdims=True)
        tokens.append(x[:, 0].tolist())
        likely.append(mx.take_along_axis(scores, x, axis=-1)[:, 0].tolist())
    return {"tokens": mx.array(tokens).T.tolist(), "log_probabilities": mx.array(likely).T.tolist()}


def main() -> None:
    """Answer a request."""
    request = json.loads(Path(sys.argv[1]).read_text())
    answers = {model: answer(request, model) for model in request["models"]}
    Path(sys.argv[2]).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
