"""A step of healing under each of its options: time, and the activations that it holds for the way back.

    python benchmarks/puzzle_healing.py [--tokens 256] [--rounds 3]

A model of SmolLM2-135M's shape with random weights, healed as its own parent: time does not depend on weights. One
process, one thread; times are CPU seconds, the least of some rounds in which the options take turns. Activations are
what autograd saves in the forward pass, weights not counted.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from tessera import params
from tessera.common import files
from tessera.puzzle.costs import measured, profile
from tessera.puzzle.heal import teacher, train
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.params import HealParams

#: Parameters of healing that differ, and the type of matrix products, `puzzle.compute.dtype`.
OPTIONS: dict[str, tuple[dict, torch.dtype]] = {
    "plain": ({}, torch.float32),
    "teacher: cache": ({"teacher": "cache"}, torch.float32),
    "gradient_checkpointing": ({"gradient_checkpointing": True}, torch.float32),
    "dtype: bfloat16": ({}, torch.bfloat16),
}


def products(dtype: torch.dtype) -> torch.autocast:
    """A context in which matrix products are of a type, as `compute.start` has them for a whole process."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16, cache_enabled=False)


def step(
    parent: LanguageModel, child: LanguageModel, tokens: Tensor, settings: HealParams, kept: list[Tensor]
) -> float:
    """CPU seconds of a forward and a backward pass."""
    teach = (lambda *_: kept) if settings.teacher == "cache" else teacher.states
    start = time.process_time()
    train.loss(parent, child, tokens, settings, teach)[0].backward()
    child.zero_grad()
    return time.process_time() - start


def activations(
    parent: LanguageModel, child: LanguageModel, tokens: Tensor, settings: HealParams, kept: list[Tensor]
) -> int:
    """Bytes that autograd saves in the forward pass, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in child.parameters()}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        train.loss(parent, child, tokens, settings, lambda *_: kept)
    return sum(sizes.values())


def main() -> None:
    """Run the benchmark; write its numbers as JSON and its table as Markdown next to this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=256, help="of one step")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    default = params.load(Path(__file__).parents[1] / "params.yaml").puzzle.heal
    config = profile.shape("smollm2-135m").config
    parent, child = (LanguageModel(AutoModelForCausalLM.from_config(config)).requires_grad_(False) for _ in range(2))
    child.load_state_dict(parent.state_dict())
    for p in train.trainable(child, default).values():
        p.requires_grad_(True)
    tokens = torch.randint(0, config.vocab_size, (1, options.tokens + 1))
    kept = teacher.states(parent, tokens[:, :-1])
    settings = {name: (default.model_copy(update=changes), dtype) for name, (changes, dtype) in OPTIONS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in settings}
    for _ in range(options.rounds):
        for name, (chosen, dtype) in settings.items():
            with products(dtype):
                seconds[name].append(step(parent, child, tokens, chosen, kept))
    rows = {}
    for name, (chosen, dtype) in settings.items():
        with products(dtype):
            size = activations(parent, child, tokens, chosen, kept)
        rows[name] = {"seconds": min(seconds[name]), "activations": size}
    cpu = torch.device("cpu")
    machine = f"{measured.machine(cpu)}, {measured.software(cpu)}, {time.strftime('%Y-%m-%d')}"
    result = {"machine": machine, "tokens": options.tokens, "rounds": options.rounds, "options": rows}
    files.write_json(Path(__file__).with_suffix(".json"), result)
    plain = rows["plain"]
    lines = [
        "# Options of healing",
        "",
        f"{machine}, {options.tokens} tokens a step, least of {options.rounds} rounds of CPU seconds. Command:",
        "`python benchmarks/puzzle_healing.py`.",
        "",
        "| option | s a step | of plain | activations, MiB | of plain |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, row in rows.items():
        time_ratio, memory_ratio = (row[key] / plain[key] for key in ("seconds", "activations"))
        memory = row["activations"] / 2**20
        lines.append(f"| {name} | {row['seconds']:.2f} | {time_ratio:.2f} | {memory:.0f} | {memory_ratio:.2f} |")
    files.write_text(Path(__file__).with_suffix(".md"), "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
