"""In vLLM's environment: what models write after prompts, with log-probabilities, and which attentions have a cache.

    python vllm_worker.py REQUEST ANSWER

REQUEST is a JSON object: `models` (directories), `prompts` (lists of token ids), `count`, `dtype` and `settings` of
vLLM. ANSWER gets, by model, `tokens` and `log_probabilities` (prompts, count) and `cached`, or `error`.
"""

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
SETTINGS = {"enforce_eager": True, "max_model_len": 64, "max_num_seqs": 8, "skip_tokenizer_init": True}


def answer(request: dict[str, Any], model: str) -> dict[str, Any]:
    """What one model answers."""
    from vllm import LLM, SamplingParams
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    try:
        engine = LLM(model, dtype=request["dtype"], **SETTINGS | request["settings"])
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    greedy = SamplingParams(temperature=0.0, max_tokens=request["count"], logprobs=0, ignore_eos=True, detokenize=False)
    prompts = [{"prompt_token_ids": prompt} for prompt in request["prompts"]]
    outputs = [one.outputs[0] for one in engine.generate(prompts, greedy, use_tqdm=False)]
    found = {
        "tokens": [list(one.token_ids) for one in outputs],
        "log_probabilities": [
            [step[token].logprob for token, step in zip(one.token_ids, one.logprobs, strict=True)] for one in outputs
        ],
        "cached": sorted(engine.llm_engine.vllm_config.compilation_config.static_forward_context),
    }
    del engine
    cleanup_dist_env_and_memory()
    gc.collect()
    return found


def main() -> None:
    """Answer a request."""
    os.environ |= ENVIRONMENT
    request = json.loads(Path(sys.argv[1]).read_text())
    answers = {model: answer(request, model) for model in request["models"]}
    Path(sys.argv[2]).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
