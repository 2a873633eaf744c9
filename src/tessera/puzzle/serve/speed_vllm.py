"""Time and memory of whole models in vLLM, a parent and its children.

Every model has a process of its own, for an engine takes the memory that it finds. The processes follow one another
forth and back, so that a steady drift of the machine meets all alike; a speed-up is of rounds that are minutes apart.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tessera.common import files
from tessera.puzzle.costs import vllm
from tessera.puzzle.costs.operations import MIB
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.serve.speed import Times


def times(
    places: Mapping[str, Path], target: CostTarget, repeats: int, title: str
) -> tuple[dict[str, Times], dict[str, dict[str, float]], dict[str, int]]:
    """Every model's times over twice `repeats` rounds, memory and parameters. Raises RuntimeError as vllm.run.

    Memory is resident memory of the process, MiB, and what of it is not there before a model, engine and KV cache
    among it; on a GPU, where neither tells, that of the weights.
    """
    by_model = {name: Times([], []) for name in places}
    memory: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        for name in [*places, *reversed([*places])]:
            vocabulary = int(files.read_json(places[name] / "config.json")["vocab_size"])
            answer = vllm.run([places[name]], [vocabulary], target, repeats, Path(directory), f"{title}: {name}")
            (taken,) = answer["models"]
            by_model[name].prefill.extend(1e3 * seconds for seconds in taken["prefill"])
            steps = taken.get("decode", [0.0] * repeats)
            by_model[name].decode.extend(1e3 * target.workload.decode * seconds for seconds in steps)
            peak = {"process_mib": answer["peak_mib"], "model_mib": answer["peak_mib"] - answer["idle_mib"]}
            if target.hardware == "cuda":
                peak = dict.fromkeys(("process_mib", "model_mib"), _weights(places[name])[0] / MIB)
            memory[name] = peak
    return by_model, memory, {name: _weights(place)[1] for name, place in places.items()}


def _weights(place: Path) -> tuple[int, int]:
    """Bytes and number of a checkpoint's weights."""
    from safetensors import safe_open

    size = count = 0
    for path in sorted(place.glob("*.safetensors")):
        size += path.stat().st_size
        with safe_open(path, "pt") as tensors:
            count += sum(int(np.prod(tensors.get_slice(name).get_shape())) for name in tensors.keys())  # noqa: SIM118
    return size, count
