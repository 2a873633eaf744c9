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

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import yaml
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tessera import params
from tessera.common import files
from tessera.puzzle.costs import measured, profile
from tessera.puzzle.heal import train
from tessera.puzzle.library import distill
from tessera.puzzle.models import blocks
from tessera.puzzle.models.model import AttentionSpec, FFNSpec, LanguageModel, build_attention, build_ffn
from tessera.puzzle.params import HealParams, OptimiserParams
from tessera.puzzle.scores import divergence
from tessera.puzzle.scores import replace_one as scores

WINDOW = 128
#: Where a layer holds its subblocks.
MODULE = {"attention": "self_attn", "ffn": "mlp"}
VARIANTS_A_LAYER = (
    7  # of the default space: attention kv1 and linear; FFN 75, 50, 25 %, linear; what no pass trains is free
)


def timed(function: Callable[[], object], repeats: int = 1) -> float:
    """Least CPU seconds of a call."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    """Run the benchmark; write its numbers as JSON and its table as Markdown next to this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=256, help="of one step")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    shape = profile.shape("smollm2-135m")
    parent = LanguageModel(blocks.model_spec(shape)).requires_grad_(False)
    windows = torch.randint(shape.vocab_size, (options.tokens // WINDOW, WINDOW + 1))
    report = {
        "machine": measured.machine(torch.device("cpu")),
        "software": measured.software(torch.device("cpu")),
        "date": time.strftime("%Y-%m-%d"),
        "options": vars(options),
        "distillation": distillation(parent, shape, windows),
        "scoring": scoring(parent, shape, windows[:1]),
        "rates": rates(parent, shape, windows),
    }
    out = Path(__file__).with_suffix("")
    files.write_json(out.with_suffix(".json"), report)
    files.write_text(out.with_suffix(".md"), markdown(report))


def settings(tokens: int) -> OptimiserParams:
    return OptimiserParams(tokens=tokens, batch_windows=max(1, tokens // WINDOW), learning_rate=1e-4)


def variants(parent: LanguageModel, shape: profile.Architecture) -> dict[str, nn.Module]:
    """A variant of each subblock: one KV head, half the channels."""
    attention, ffn = AttentionSpec("gqa", 1), FFNSpec("gated", shape.intermediate_size // 2)
    return {"attention": build_attention(parent.spec, attention), "ffn": build_ffn(parent.spec, ffn)}


def distillation(parent: LanguageModel, shape: profile.Architecture, windows: torch.Tensor) -> dict:
    """CPU seconds a token of both ways, and their ratio, by layer and subblock; and times of more tokens."""
    x, tokens = windows[:, :-1], windows[:, :-1].numel()
    rotary, L = parent.model.positions(x), shape.num_layers
    before, middle = scores.hidden_states(parent, x)
    shared = timed(lambda: scores.hidden_states(parent, x), 2) / (L * VARIANTS_A_LAYER)
    rows = []
    for layer in (0, L // 2, L - 1):
        block = parent.model.layers[layer]
        for subblock, module in variants(parent, shape).items():
            inputs = (before[layer] if subblock == "attention" else middle[layer]).clone()

            def forward(
                state: torch.Tensor, block: nn.Module = block, module: nn.Module = module, subblock: str = subblock
            ) -> torch.Tensor:
                if subblock == "attention":
                    return block.feed(state + module(block.input_layernorm(state), rotary))
                return state + module(block.post_attention_layernorm(state))

            def blockwise(
                forward: Callable = forward,
                module: nn.Module = module,
                inputs: torch.Tensor = inputs,
                layer: int = layer,
            ) -> None:
                generator = torch.Generator().manual_seed(0)
                distill.train(module, forward, inputs, before[layer + 1], settings(tokens), "per_token", generator)

            def whole(module: nn.Module = module, layer: int = layer, subblock: str = subblock) -> None:
                child = copy.copy(parent.model.layers[layer])
                child._modules = dict(child._modules) | {MODULE[subblock]: module}
                parameters = list(module.requires_grad_(True).parameters())
                with torch.no_grad():
                    target = scores.hidden_states(parent, x)[0][-1]
                state = parent.model.embed_tokens(x)
                for i, original in enumerate(parent.model.layers):
                    state = (child if i == layer else original)(state, rotary)
                error, norm = distill.errors(target, state)
                adam = distill.optimiser(parameters, settings(tokens))
                distill.step((error / norm).mean(), parameters, adam, 1e-4, settings(tokens))
                module.requires_grad_(False)

            blockwise()
            ours, theirs = timed(blockwise, 3) + shared, timed(whole, 2)
            rows.append({"layer": layer, "subblock": subblock, "blockwise": ours / tokens, "whole": theirs / tokens})
            rows[-1]["ratio"] = theirs / ours
    block, module = parent.model.layers[3], variants(parent, shape)["ffn"]

    def many(steps: int) -> None:
        params = OptimiserParams(tokens=steps * WINDOW, batch_windows=1, learning_rate=1e-4)
        distill.train(
            module, lambda s: s + module(block.post_attention_layernorm(s)), middle[3], before[4], params, "per_token",
            torch.Generator().manual_seed(0),
        )  # fmt: skip

    many(2)
    growth = {str(steps * WINDOW): timed(lambda steps=steps: many(steps), 2) for steps in (8, 16, 32)}  # type: ignore[misc]
    ratio = sum(r["whole"] for r in rows) / sum(r["blockwise"] for r in rows)
    return {"rows": rows, "ratio": ratio, "seconds_by_tokens": growth}


def scoring(parent: LanguageModel, shape: profile.Architecture, windows: torch.Tensor) -> dict:
    """CPU seconds of scoring the default space at layers spread over the model, both ways, and that both agree.

    bound is the ratio of the matrix products that both ways run, counted by torch.
    """
    L, space = len(parent.model.layers), params.check(yaml.safe_load(Path("params.yaml").read_text())).puzzle.space
    attention = {name: blocks.attention_spec(shape, variant) for name, variant in space.attention.items()}
    ffn = {name: blocks.ffn_spec(shape, variant) for name, variant in space.ffn.items()}
    modules: dict[str, dict[str, nn.Module | None]] = {
        "attention": {name: build_attention(parent.spec, spec) for name, spec in attention.items()},
        "ffn": {name: build_ffn(parent.spec, spec) for name, spec in ffn.items()},
    }
    scored = dict.fromkeys(range(L // 12, L, L // 6), modules)
    documents = np.zeros(len(windows), int)
    kl_divs: dict[str, list[float]] = {}

    def suffix() -> None:
        rows = scores.score(parent, scored, windows, documents)
        kl_divs["suffix"] = [
            rows[layer][part][name]["kl_div"] for layer in scored for part in modules for name in modules[part]
        ]

    @torch.no_grad()
    def full() -> None:
        x, targets, kl = windows[:, :-1], windows[:, 1:].flatten(), []
        rotary, last = parent.model.positions(x), scores.hidden_states(parent, x)[0][-1].flatten(0, 1)
        for layer in scored:
            children = []
            for part, named in modules.items():
                for module in named.values():
                    child = copy.copy(parent.model.layers[layer])
                    child._modules = dict(child._modules) | {MODULE[part]: module}
                    state = parent.model.embed_tokens(x)
                    for i, original in enumerate(parent.model.layers):
                        state = (child if i == layer else original)(state, rotary)
                    children.append((scores.head(parent), state.flatten(0, 1)))
            # The parent's logits are as often computed as in the other way: what differs is the passes.
            agreements = divergence.compare(scores.head(parent), last, children, targets)
            kl += [float(agreement.kl_div.double().mean()) for agreement in agreements]
        kl_divs["full"] = kl

    seconds, work = {}, {}
    for name, way in (("suffix", suffix), ("full", full)):
        seconds[name] = timed(way, 2)
        with FlopCounterMode(display=False) as counter:
            way()
        work[name] = counter.get_total_flops()
    difference = max(abs(a - b) for a, b in zip(kl_divs["suffix"], kl_divs["full"], strict=True))
    return seconds | {
        "variants": len(kl_divs["full"]),
        "ratio": seconds["full"] / seconds["suffix"],
        "bound": work["full"] / work["suffix"],
        "largest_difference": difference,
    }


def rates(parent: LanguageModel, shape: profile.Architecture, windows: torch.Tensor) -> dict:
    """GFLOP/s of a matrix product, of a distillation step and of a healing step."""
    a, b = torch.randn(windows.shape[0] * WINDOW, 576), torch.randn(576, 1536)

    def products() -> None:
        for _ in range(20):
            a @ b

    products()
    peak = 20 * 2 * a.shape[0] * 576 * 1536 / timed(products, 5)
    x = windows[:, :-1]
    before, middle = scores.hidden_states(parent, x)
    block, module = parent.model.layers[3], variants(parent, shape)["ffn"]

    def blockwise() -> None:
        distill.train(
            module, lambda s: s + module(block.post_attention_layernorm(s)), middle[3], before[4],
            settings(x.numel()), "per_token", torch.Generator().manual_seed(0),
        )  # fmt: skip

    child = copy.deepcopy(parent)
    params = HealParams(
        cosine=1.0,
        kl=1.0,
        lm=0.0,
        train="blocks",
        checkpoint_steps=10,
        equal=settings(x.numel()),
        full=settings(x.numel()),
    )

    def healing() -> None:
        train.heal(parent, child, windows, params, params.full, torch.Generator().manual_seed(0))

    rates = {"product": peak / 1e9}
    for name, step in (("distillation", blockwise), ("healing", healing)):
        with FlopCounterMode(display=False) as counter:
            step()
        rates[name] = counter.get_total_flops() / timed(step, 2) / 1e9
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
