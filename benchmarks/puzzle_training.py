"""Blockwise distillation, scoring and healing: how much work is saved, and how fast the rest is done.

    python benchmarks/puzzle_training.py [--tokens 256] [--threads 1]

A model of SmolLM2-135M's shape with random weights: time does not depend on them. All in float32 and in one process;
times are CPU seconds of the process, which another process on the machine does not lengthen.

* Blockwise distillation of a variant on the parent's activations, with its share of the parent's one pass over the
  text, compared with training it inside the whole parent: a forward pass of parent and child and a backward pass down
  to the variant for each step. A variant of each subblock, at layers spread over the model.
* Scores of the default space at some layers, from hidden states that are computed once, compared with a full forward
  pass for each variant.
* FLOP/s of a distillation step and of a healing step, counted by torch, compared with a matrix product of that type.
* Growth of distillation with the tokens.
"""

import argparse
import copy
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from transformers import AutoModelForCausalLM

from tessera import params
from tessera.common import files
from tessera.puzzle.costs import measured, profile
from tessera.puzzle.heal import train
from tessera.puzzle.library import distill, initialise
from tessera.puzzle.models import variants
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.layer import Calls, Layer
from tessera.puzzle.models.space import FFN, Attention, Space
from tessera.puzzle.params import HealParams, OptimiserParams
from tessera.puzzle.scores import divergence
from tessera.puzzle.scores import replace_one as scores

WINDOW = 128
#: A variant of each subblock: one KV head, half the channels.
HALVES = Space(attention={"kv1": Attention(kind="gqa", kv_heads=1)}, ffn={"ffn50": FFN(kind="gated", width=0.5)})
#: Modules of variants by subblock and name; None is a no-op.
Modules = dict[str, dict[str, Any]]


def timed(function: Callable[[], object], repeats: int = 1) -> float:
    """Least CPU seconds of a call."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return min(seconds)


class Work(TorchDispatchMode):
    """Counts FLOPs of matrix products by torch's formulas.

    torch's own FlopCounterMode also tracks modules, and stops at those that an autograd function calls, as healing's
    loss does.
    """

    flops = 0

    def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


def main() -> None:
    """Run the benchmark; write its numbers as JSON and its table as Markdown next to this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=256, help="of one step")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = profile.shape("smollm2-135m").config
    parent = LanguageModel(AutoModelForCausalLM.from_config(config)).requires_grad_(False)
    space = params.load(Path(__file__).parents[1] / "params.yaml").puzzle.space
    windows = torch.randint(config.vocab_size, (options.tokens // WINDOW, WINDOW + 1))
    report = {
        "machine": measured.machine(torch.device("cpu")),
        "software": measured.software(torch.device("cpu")),
        "date": time.strftime("%Y-%m-%d"),
        "options": vars(options),
        "distillation": distillation(parent, space, windows),
        "scoring": scoring(parent, space, windows[:1]),
        "rates": rates(parent, windows),
    }
    out = Path(__file__).with_suffix("")
    files.write_json(out.with_suffix(".json"), report)
    files.write_text(out.with_suffix(".md"), markdown(report))


def settings(tokens: int) -> OptimiserParams:
    return OptimiserParams(tokens=tokens, batch_windows=max(1, tokens // WINDOW), learning_rate=1e-4)


def modules(parent: LanguageModel, space: Space) -> Modules:
    """Modules of a space's variants, made of layer 0; of the channels the first are kept."""
    layer, config = parent.layer(0), parent.config
    inner = layer.inner("attention", *parent.inputs(torch.arange(2)[None]))
    channels = variants.channel_count(layer, config)
    return {
        "attention": {
            name: initialise.attention(layer, config, variant, inner, None) for name, variant in space.attention.items()
        },
        "ffn": {
            name: initialise.ffn(layer, config, variant, torch.arange(round(variant.width * channels)))
            for name, variant in space.ffn.items()
        },
    }


def through(parent: LanguageModel, x: Tensor, index: int, subblock: str, module: nn.Module | None) -> Tensor:
    """Last hidden states of tokens x, with a module in the place of a subblock of layer `index`."""
    state, calls = parent.inputs(x)
    for layer in parent.layers:
        state = layer(state, calls, **({subblock: module} if layer.index == index else {}))
    return state


def block(layer: Layer, calls: Calls, subblock: str, module: nn.Module) -> Callable[[Tensor], Tensor]:
    """The layer with a module in the place of a subblock, from the state that distillation begins with."""
    before = {} if subblock == "attention" else {"attention": None}
    return lambda state: layer(state, calls, **before, **{subblock: module})


def distillation(parent: LanguageModel, space: Space, windows: Tensor) -> dict:
    """CPU seconds a token of both ways, and their ratio, by layer and subblock; and times of more tokens."""
    x, tokens = windows[:, :-1], windows[:, :-1].numel()
    calls, L = parent.calls(WINDOW), len(parent.layers)
    before, middle, _ = scores.hidden_states(parent, x)
    # The pass over the text serves all variants that have weights.
    served = sum(variant.kind != "no_op" for variant in (*space.attention.values(), *space.ffn.values()))
    shared = timed(lambda: scores.hidden_states(parent, x), 2) / (L * served)
    rows = []
    for layer in (0, L // 2, L - 1):
        for subblock, named in modules(parent, HALVES).items():
            (module,) = named.values()
            inputs = (before[layer] if subblock == "attention" else middle[layer]).clone()
            forward = block(parent.layer(layer), calls, subblock, module)

            def blockwise(
                forward: Callable = forward, module: nn.Module = module, inputs: Tensor = inputs, layer: int = layer
            ) -> None:
                generator = torch.Generator().manual_seed(0)
                distill.train(module, forward, inputs, before[layer + 1], settings(tokens), "per_token", generator)

            def whole(module: nn.Module = module, layer: int = layer, subblock: str = subblock) -> None:
                parameters = list(module.requires_grad_(True).parameters())
                with torch.no_grad():
                    target = scores.hidden_states(parent, x)[0][-1]
                error, norm = distill.errors(target, through(parent, x, layer, subblock, module))
                adam = distill.optimiser(parameters, settings(tokens))
                distill.step((error / norm).mean(), parameters, adam, 1e-4, settings(tokens))
                module.requires_grad_(False)

            blockwise()
            ours, theirs = timed(blockwise, 3) + shared, timed(whole, 2)
            rows.append({"layer": layer, "subblock": subblock, "blockwise": ours / tokens, "whole": theirs / tokens})
            rows[-1]["ratio"] = theirs / ours
    module = modules(parent, HALVES)["ffn"]["ffn50"]
    forward = block(parent.layer(3), calls, "ffn", module)

    def many(steps: int) -> None:
        params = OptimiserParams(tokens=steps * WINDOW, batch_windows=1, learning_rate=1e-4)
        generator = torch.Generator().manual_seed(0)
        distill.train(module, forward, middle[3], before[4], params, "per_token", generator)

    many(2)
    growth = {str(steps * WINDOW): timed(lambda steps=steps: many(steps), 2) for steps in (8, 16, 32)}  # type: ignore[misc]
    ratio = sum(r["whole"] for r in rows) / sum(r["blockwise"] for r in rows)
    return {"rows": rows, "ratio": ratio, "seconds_by_tokens": growth}


def scoring(parent: LanguageModel, space: Space, windows: Tensor) -> dict:
    """CPU seconds of scoring a space at layers spread over the model, both ways, and that both agree.

    bound is the ratio of the matrix products that both ways run, counted by torch.
    """
    L, made = len(parent.layers), modules(parent, space)
    scored = dict.fromkeys(range(L // 12, L, L // 6), made)
    documents = np.zeros(len(windows), int)
    kl_divs: dict[str, list[float]] = {}

    def suffix() -> None:
        rows = scores.score(parent, scored, windows, documents)
        kl_divs["suffix"] = [
            rows[layer][part][name]["kl_div"] for layer in scored for part in made for name in made[part]
        ]

    @torch.no_grad()
    def full() -> None:
        x, targets, kl = windows[:, :-1], windows[:, 1:].flatten(), []
        last = scores.hidden_states(parent, x)[0][-1].flatten(0, 1)
        for layer in scored:
            children = [
                (parent.head, through(parent, x, layer, part, module).flatten(0, 1))
                for part, named in made.items()
                for module in named.values()
            ]
            # The parent's logits are as often computed as in the other way: what differs is the passes.
            agreements = divergence.compare(parent.head, last, children, targets)
            kl += [float(agreement.kl_div.double().mean()) for agreement in agreements]
        kl_divs["full"] = kl

    seconds, work = {}, {}
    for name, way in (("suffix", suffix), ("full", full)):
        seconds[name] = timed(way, 2)
        with Work() as counted:
            way()
        work[name] = counted.flops
    difference = max(abs(a - b) for a, b in zip(kl_divs["suffix"], kl_divs["full"], strict=True))
    return seconds | {
        "variants": len(kl_divs["full"]),
        "ratio": seconds["full"] / seconds["suffix"],
        "bound": work["full"] / work["suffix"],
        "largest_difference": difference,
    }


def rates(parent: LanguageModel, windows: Tensor) -> dict:
    """GFLOP/s of a matrix product, of a distillation step and of a healing step."""
    a, b = torch.randn(windows.shape[0] * WINDOW, 576), torch.randn(576, 1536)

    def products() -> None:
        for _ in range(20):
            a @ b

    products()
    peak = 20 * 2 * a.shape[0] * 576 * 1536 / timed(products, 5)
    x = windows[:, :-1]
    before, middle, calls = scores.hidden_states(parent, x)
    module = modules(parent, HALVES)["ffn"]["ffn50"]
    forward = block(parent.layer(3), calls, "ffn", module)

    def blockwise() -> None:
        generator = torch.Generator().manual_seed(0)
        distill.train(module, forward, middle[3], before[4], settings(x.numel()), "per_token", generator)

    child = copy.deepcopy(parent)
    full = settings(x.numel())
    params = HealParams(cosine=1.0, kl=1.0, lm=0.0, train="blocks", checkpoint_steps=10, equal=full, full=full)

    def healing() -> None:
        train.heal(parent, child, windows, params, params.full, torch.Generator().manual_seed(0))

    rates = {"product": peak / 1e9}
    for name, step in (("distillation", blockwise), ("healing", healing)):
        with Work() as counted:
            step()
        rates[name] = counted.flops / timed(step, 2) / 1e9
        rates[f"{name}_share"] = rates[name] / rates["product"]
    return rates


def markdown(report: dict) -> str:
    """The report as tables."""
    d, s, r = report["distillation"], report["scoring"], report["rates"]
    lines = [
        "# Work saved in distillation and scoring, and speed of the rest",
        "",
        f"{report['machine']}, {report['software']}, float32, {report['date']}. SmolLM2-135M's shape, random weights,",
        f"{report['options']['tokens']} tokens a step. CPU seconds. Command: `python benchmarks/puzzle_training.py`.",
        "",
        "| layer | subblock | blockwise, ms a token | inside the whole parent, ms a token | ratio |",
        "|--:|---|--:|--:|--:|",
    ]
    for row in d["rows"]:
        ours, theirs = 1e3 * row["blockwise"], 1e3 * row["whole"]
        lines.append(f"| {row['layer']} | {row['subblock']} | {ours:.4f} | {theirs:.3f} | {row['ratio']:.0f} |")
    growth = ", ".join(f"{tokens} tokens {seconds:.2f} s" for tokens, seconds in d["seconds_by_tokens"].items())
    lines += [
        "",
        f"* Blockwise distillation is {d['ratio']:.0f} times as fast over these rows (goal: 20). Growth: {growth}.",
        f"* Suffix scoring of {s['variants']} variants is {s['ratio']:.2f} times as fast as a full forward pass for "
        f"each (goal: 1.8); by matrix products alone, with those of the output head, it would be {s['bound']:.2f}. KL "
        f"differs by at most {s['largest_difference']:.1e} nats.",
        f"* Matrix product: {r['product']:.1f} GFLOP/s. Distillation step: {r['distillation']:.1f}, "
        f"{100 * r['distillation_share']:.0f} % of it (goal: 60). Healing step: {r['healing']:.1f}, "
        f"{100 * r['healing_share']:.0f} % (goal: 60). Matrix products alone are counted.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
