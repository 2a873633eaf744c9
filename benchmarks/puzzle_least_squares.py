"""Least squares against gradient descent: what one pass over the text gives, and how long descent takes to get there.

For one layer's linear FFN and half-width FFN: held-out loss after a closed-form fit on n tokens, compared with a
gradient-only run from the paper's initialisation that has seen n tokens, at its best of several learning rates; and the
KL of the whole model with the variant in place. Run after `snakemake data`:

    python benchmarks/puzzle_least_squares.py --layer 3
"""

import argparse
import copy
import json
import time
from pathlib import Path

import torch

from tessera import params as parameters
from tessera.common import files, randomness
from tessera.data.tokens import windows
from tessera.puzzle.library import distill, initialise
from tessera.puzzle.library.activations import Activations
from tessera.puzzle.models import architecture, blocks
from tessera.puzzle.models.model import FFNSpec
from tessera.puzzle.params import BATCH
from tessera.puzzle.scores.replace_one import hidden_states, score

TOKENS = (1024, 2048, 4096, 8192, 16384, 32768)
RATES = (3e-4, 1e-3, 3e-3)
WINDOW = 256
HERE = Path(__file__).parent


def main() -> None:
    """Run the benchmark; write its numbers as JSON and its table as Markdown next to this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--layer", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    settings = parameters.load("params.yaml").puzzle
    parent, tokens = arguments.data / "parent", arguments.data / "tokens"
    model, shape = blocks.load(parent).requires_grad_(False), architecture.read(parent)
    layer = model.model.layers[arguments.layer]
    norm, teacher = layer.post_attention_layernorm, layer.mlp

    @torch.no_grad()
    def activations(split: str, count: int) -> Activations:
        text = torch.from_numpy(windows(tokens, split, WINDOW, count, seed=1).tokens).long()
        states = torch.cat([hidden_states(model, part)[0][arguments.layer] for part in text.split(BATCH)])
        rotary = model.model.positions(text)
        middle = torch.cat([layer.attend(part, rotary) for part in states.split(BATCH)])
        return Activations(states, middle, torch.cat([layer.feed(part) for part in middle.split(BATCH)]))

    train, valid = activations("train", TOKENS[-1] // WINDOW), activations("valid", 16)

    def loss(module: torch.nn.Module | None) -> float:
        forward = (lambda x: x) if module is None else (lambda x: x + module(norm(x)))
        return distill.evaluate(forward, valid.middle, valid.after, BATCH).per_token

    def batches(count: int):
        parts = (train.middle[:count].split(BATCH), train.after[:count].split(BATCH))
        for before, after in zip(*parts, strict=True):
            yield norm(before), after - before, 1 / after.square().sum(-1)

    text = windows(tokens, "valid", WINDOW + 1, 12, seed=2)

    def kl(variants: dict[str, torch.nn.Module | None]) -> dict[str, float]:
        scores = score(model, {arguments.layer: {"ffn": variants}}, torch.from_numpy(text.tokens).long(), text.document)
        return {name: metrics["kl_div"] for name, metrics in scores[arguments.layer]["ffn"].items()}

    results = {}
    for name, spec in {
        "linear": FFNSpec("linear"),
        "half width": FFNSpec("gated", shape.intermediate_size // 2),
    }.items():
        width = spec.intermediate_size
        moments = initialise.channel_moments(teacher, batches(len(train.middle)))
        ridge = settings.library.ridge
        kept = initialise.kept_channels(teacher, moments, [width], "contribution", ridge) if width else {}
        paper = initialise.ffn(model.spec, teacher, spec, kept.get(width))
        rows, fitted, descended = [], None, None
        for count in TOKENS:
            start = time.process_time()
            fitted = copy.deepcopy(paper)
            moments = initialise.channel_moments(teacher, batches(count // WINDOW)) if width else None
            initialise.fit_ffn(fitted, moments, kept.get(width), batches(count // WINDOW), ridge)
            fit_seconds = time.process_time() - start
            best = None
            for rate in RATES:
                start = time.process_time()
                trained = copy.deepcopy(paper)
                plan = settings.library.distillation.model_copy(update={"tokens": count, "learning_rate": rate})
                distill.train(
                    trained,
                    lambda x, module=trained: x + module(norm(x)),
                    train.middle[: count // WINDOW],
                    train.after[: count // WINDOW],
                    plan,
                    "per_token",
                    randomness.torch_generator(0, name, count),
                )
                trial = (loss(trained), rate, time.process_time() - start, trained)
                best = trial if best is None or trial[0] < best[0] else best
            descended = best[3]
            rows.append(
                {
                    "tokens": count,
                    "least_squares": loss(fitted),
                    "least_squares_s": fit_seconds,
                    "gradient": best[0],
                    "gradient_s": best[2],
                    "rate": best[1],
                }
            )
        kls = kl({"no_op": None, "paper": paper, "least_squares": fitted, "gradient": descended})
        results[name] = {"paper_loss": loss(paper), "no_op_loss": loss(None), "curve": rows, "kl_div": kls}
    about = {"layer": arguments.layer, "threads": arguments.threads, "torch": torch.__version__, "window": WINDOW}
    files.write_json(HERE / "puzzle_least_squares.json", {"about": about, "results": results})
    files.write_text(HERE / "puzzle_least_squares.md", report(about, results))
    print(json.dumps(results, indent=1))


def report(about: dict, results: dict) -> str:
    """The Markdown report."""
    lines = [
        "# Least squares against gradient descent",
        "",
        (__doc__ or "").split("\n\n")[1].replace("\n", " "),
        f"Layer {about['layer']}, {about['threads']} thread(s), torch {about['torch']}; one seed.",
        "Command: `python benchmarks/puzzle_least_squares.py`.",
    ]
    for name, result in results.items():
        kls = ", ".join(f"{k.replace('_', ' ')} {v:.3f}" for k, v in result["kl_div"].items())
        lines += [
            "",
            f"## FFN {name}",
            "",
            f"Held-out loss: paper's initialisation {result['paper_loss']:.4f}, no-op {result['no_op_loss']:.4f}.",
            f"KL after replacement, nats a token: {kls}.",
            "",
            "| tokens | least squares | CPU s | gradient only | CPU s | rate | CPU s, gradient / least squares |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {r['tokens']} | {r['least_squares']:.4f} | {r['least_squares_s']:.2f} | {r['gradient']:.4f} |"
            f" {r['gradient_s']:.2f} | {r['rate']:g} | {r['gradient_s'] / r['least_squares_s']:.1f} |"
            for r in result["curve"]
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
