"""Times of models in vLLM, each in an engine of its own, one after the other.

    python -m tessera_vllm.timing REQUEST ANSWER

REQUEST is a JSON object: `models` (directories), `vocabulary` of each, `batch`, `prefill` (tokens of a prompt),
`before` and `steps` (tokens before some decode steps, and their number), `rounds`, `dtype` and `settings` of vLLM.
ANSWER gets `version`, for each model the seconds of every round: `prefill`, of reading the prompts, and `decode`, of
one decode step of the batch; and the most memory that the process has had, `peak_mib`, and before any model,
`idle_mib`. Prompts are random, and none is read from a cache. A line on stdout tells when a model is done.
"""

import gc
import json
import os
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

#: One process, so that memory and time are those of the engine alone.
ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
#: Tokens that random prompts leave out: those that begin and end a text are among the first.
_SPECIAL = 3


def main() -> None:
    """Answer a request."""
    os.environ |= ENVIRONMENT
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import vllm

    idle = _peak_mib()
    answer: dict[str, Any] = {"version": vllm.__version__, "models": []}
    for model, vocabulary in zip(request["models"], request["vocabulary"], strict=True):
        answer["models"].append(_times(request, model, vocabulary))
        print(model, flush=True)
    answer |= {"idle_mib": idle, "peak_mib": _peak_mib()}
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


def _times(request: dict[str, Any], model: str, vocabulary: int) -> dict[str, list[float]]:
    from vllm import LLM, SamplingParams
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    longest = max(request["prefill"], request["before"] + request["steps"]) + 2
    settings = {"max_model_len": longest, "max_num_seqs": request["batch"], "enable_prefix_caching": False}
    settings |= {"skip_tokenizer_init": True, "disable_log_stats": True} | request["settings"]
    generator = random.Random(0)

    def seconds(engine: LLM, tokens: int, written: int) -> float:
        prompts = [
            {"prompt_token_ids": [generator.randrange(_SPECIAL, vocabulary) for _ in range(tokens)]}
            for _ in range(request["batch"])
        ]
        greedy = SamplingParams(temperature=0.0, max_tokens=written, ignore_eos=True, detokenize=False)
        start = time.perf_counter()
        engine.generate(prompts, greedy, use_tqdm=False)
        return time.perf_counter() - start

    def sample(engine: LLM) -> tuple[float, float]:
        prefill = seconds(engine, request["prefill"], 1)
        if not request["steps"]:
            return prefill, 0.0
        # The first token comes with the prompt.
        decode = seconds(engine, request["before"], request["steps"] + 1) - seconds(engine, request["before"], 1)
        return prefill, decode / request["steps"]

    engine = LLM(model, dtype=request["dtype"], **settings)
    sample(engine)
    rounds = [sample(engine) for _ in range(request["rounds"])]
    del engine
    cleanup_dist_env_and_memory()
    gc.collect()
    prefill, decode = zip(*rounds, strict=True)
    return {"prefill": list(prefill), "decode": list(decode)}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
