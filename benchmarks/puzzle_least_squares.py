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
from tessera.puzzle.library.least_squares import Moments
from tessera.puzzle.models import architecture, loading
from tessera.puzzle.models.space import FFN
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
    model, shape = loading.load(parent), architecture.read(parent)
    layer, calls = model.layer(arguments.layer), model.calls(WINDOW)
    teacher, last = layer.subblock("ffn"), layer.anatomy["ffn"].last
    if last is None or layer.anatomy["ffn"].normed:
        parser.error(f"{parent}: expected a parent whose FFN ends with a linear map, and no norm behind it")

    @torch.no_grad()
    def activations(split: str, count: int) -> Activations:
        text = torch.from_numpy(windows(tokens, split, WINDOW, count, seed=1).tokens).long()
        states = torch.cat([hidden_states(model, part)[0][arguments.layer] for part in text.split(BATCH)])
        middle = torch.cat([layer(part, calls, ffn=None) for part in states.split(BATCH)])
        return Activations(states, middle, torch.cat([after_layer(part, teacher) for part in middle.split(BATCH)]))

    def after_layer(middle: torch.Tensor, ffn: torch.nn.Module | None) -> torch.Tensor:
        return layer(middle, calls, attention=None, ffn=ffn)

    train, valid = activations("train", TOKENS[-1] // WINDOW), activations("valid", 16)

    def loss(module: torch.nn.Module | None) -> float:
        return distill.evaluate(lambda x: after_layer(x, module), valid.middle, valid.after, BATCH).per_token

    def batches(count: int):
        parts = (train.middle[:count].split(BATCH), train.after[:count].split(BATCH))
        for before, after in zip(*parts, strict=True):
            inner = layer.inner("ffn", before, calls, attention=None)
            yield inner, after - before, 1 / after.square().sum(-1)

    text = windows(tokens, "valid", WINDOW + 1, 12, seed=2)

    def kl(variants: dict[str, torch.nn.Module | None]) -> dict[str, float]:
        scores = score(model, {arguments.layer: {"ffn": variants}}, torch.from_numpy(text.tokens).long(), text.document)
        return {name: metrics["kl_div"] for name, metrics in scores[arguments.layer]["ffn"].items()}

    results = {}
    ridge = settings.library.ridge
    for name, variant in {"linear": FFN(kind="linear"), "half width": FFN(kind="gated", width=0.5)}.items():
        kept = None
        if variant.kind == "gated":
            linear, width = teacher.get_submodule(last), variant.intermediate_size(shape)
            moments = initialise.channel_moments(teacher, last, batches(len(train.middle)))
            kept = initialise.kept_channels(linear, moments, [width], "contribution", ridge)[width]
        paper = initialise.ffn(layer, model.config, variant, kept)
        rows, fitted, descended = [], None, None
        for count in TOKENS:
            start = time.process_time()
            fitted = copy.deepcopy(paper)
            if kept is None:
                initialise.fit(fitted.linear, initialise.moments(fitted, "linear", batches(count // WINDOW)), ridge)
            else:
                moments = initialise.channel_moments(teacher, last, batches(count // WINDOW))
                narrow = Moments(moments.G[kept][:, kept], moments.C[kept])
                initialise.fit(fitted.get_submodule(last), narrow, ridge)
            fit_seconds = time.process_time() - start
            best = None
            for rate in RATES:
                start = time.process_time()
                trained = copy.deepcopy(paper)
                plan = settings.library.distillation.model_copy(update={"tokens": count, "learning_rate": rate})
                distill.train(
                    trained,
                    lambda x, module=trained: after_layer(x, module),
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
