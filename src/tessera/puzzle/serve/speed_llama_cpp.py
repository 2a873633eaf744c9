"""Time and memory of whole models in llama.cpp, a parent and those of its children that it can compute.

All models are in one process and take turns request by request; else as `speed` says.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.models import loading
from tessera.puzzle.serve import gguf_export, gguf_tokenizer, llama_cpp
from tessera.puzzle.serve.gguf_types import Types
from tessera.puzzle.serve.llama_cpp import Engine
from tessera.puzzle.serve.speed import PARENT, Times, peak_resident_mib


@dataclass(frozen=True)
class Served:
    """A model as a file: parameters is their number in the model itself."""

    path: Path
    vocabulary: int
    parameters: int


def write(places: Mapping[str, Path], target: CostTarget, directory: Path) -> tuple[dict[str, Served], dict[str, str]]:
    """Models as files of the target's type in a directory; and why there is none, of those that have no form.

    Times do not depend on the text, so the files have no tokenizer that reads any. Raises ValueError if the parent has
    no form.
    """
    served, left_out = {}, {}
    for name, place in places.items():
        model = loading.load(place).requires_grad_(False)
        vocabulary, path = int(model.config.vocab_size), directory / f"{name}.gguf"
        types = Types(target.dtype)  # type: ignore[arg-type]
        try:
            gguf_export.write(model, path, gguf_tokenizer.unread(vocabulary), types)
        except ValueError as refusal:
            if name == PARENT:
                raise
            left_out[name] = str(refusal)
        else:
            served[name] = Served(path, vocabulary, sum(p.numel() for p in model.parameters()))
    return served, left_out


def times(
    served: Mapping[str, Served],
    target: CostTarget,
    repeats: int,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> dict[str, Times]:
    """Every model's times over `repeats` rounds of the target's workload, one request at a time.

    A request of each model before the first round is not counted. track wraps the loop over rounds.
    """
    work, generator = target.workload, random.Random(0)
    models = {name: Engine(one.path, work.prefill + work.decode + 2, target.threads) for name, one in served.items()}
    by_model = {name: Times([], []) for name in models}

    def request(name: str) -> tuple[float, float]:
        tokens = llama_cpp.prompt(generator, served[name].vocabulary, work.prefill)
        timings = models[name].complete(tokens, work.decode + 1, temperature=0.0)["timings"]
        return float(timings["prompt_ms"]), float(timings["predicted_ms"]) if work.decode else 0.0

    for name in models:
        request(name)
    for _ in track(range(repeats)):
        for name in models:
            prefill, decode = request(name)
            by_model[name].prefill.append(prefill)
            by_model[name].decode.append(decode)
    return by_model


def peak_memory(model: Served, target: CostTarget) -> dict[str, float]:
    """MiB of resident memory that a fresh process needs at most to read a file and serve one request.

    process_mib is all of it, the interpreter included; model_mib is what is above an idle process. Both hold the pages
    of the file that were read, which llama.cpp maps.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(_serve_alone, model, target).result()


def _serve_alone(model: Served, target: CostTarget) -> dict[str, float]:
    idle = peak_resident_mib()
    times({"": model}, target, 0)
    peak = peak_resident_mib()
    return {"process_mib": peak, "model_mib": peak - idle}
