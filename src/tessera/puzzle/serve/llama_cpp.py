"""llama.cpp in this process, by its binding xllamacpp: GGUF files that are read, timed, and talked with."""

import random
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any


def software() -> str:
    """The engine's name and version."""
    return f"llama.cpp (xllamacpp {metadata.version('xllamacpp')})"


def prompt(generator: random.Random, vocabulary: int, length: int) -> list[int]:
    """Random tokens, none of which is among the first three, as those that begin and end a text are."""
    return [generator.randrange(3, vocabulary) for _ in range(length)]


class Engine:
    """A GGUF file that llama.cpp has read, for one sequence at a time on the CPU."""

    def __init__(self, path: Path, context: int, threads: int | None = None) -> None:
        """context is the most tokens of prompt and answer; threads None is llama.cpp's own choice.

        Raises RuntimeError, naming the file, if llama.cpp does not accept it.
        """
        import xllamacpp

        settings = xllamacpp.CommonParams()
        settings.model.path, settings.n_ctx, settings.n_parallel = str(path), context, 1
        settings.warmup, settings.n_gpu_layers, settings.verbosity = False, 0, -1
        if threads is not None:
            settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
        try:
            self._server = xllamacpp.Server(settings)
        except RuntimeError as error:
            raise RuntimeError(f"{path}: llama.cpp does not start with this file: {error}") from None

    def complete(self, tokens: Sequence[int], count: int, **settings: Any) -> Mapping[str, Any]:
        """llama.cpp's answer of `count` tokens to a prompt of tokens, whatever they are; settings as its server's.

        Raises RuntimeError with llama.cpp's own words if it gives none.
        """
        request = {"prompt": list(tokens), "n_predict": count, "ignore_eos": True, "cache_prompt": False}
        answer = self._server.handle_completions(request | settings)
        if "error" in answer or "code" in answer:
            raise RuntimeError(f"llama.cpp: {answer.get('error', answer)}")
        return answer

    def prefill_ms(self, tokens: Sequence[int]) -> float:
        """Milliseconds to read a prompt."""
        return float(self.complete(tokens, 1)["timings"]["prompt_ms"])

    def step_ms(self, tokens: Sequence[int], count: int) -> float:
        """Milliseconds of one of `count` decode steps behind a prompt, on average."""
        # The first token comes with the prompt.
        return float(self.complete(tokens, count + 1, temperature=0.0)["timings"]["predicted_ms"]) / count

    def log_probabilities(self, tokens: Sequence[int], most: int, **settings: Any) -> dict[int, float]:
        """Log-probabilities of the likeliest `most` tokens behind a prompt; settings as its server's."""
        answer = self.complete(tokens, 1, temperature=0.0, logprobs=most, **settings)
        (first,) = answer["choices"][0]["logprobs"]["content"]
        return {entry["id"]: entry["logprob"] for entry in first["top_logprobs"]}
