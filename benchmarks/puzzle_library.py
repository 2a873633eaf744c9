"""A job of the block library: CPU time and peak memory by tokens, layers and variants, and the bound of memory.

    python benchmarks/puzzle_library.py [--tokens 2048] [--rounds 1]

Jobs of the stage itself on a parent of SmolLM2-135M's shape with random weights, random hidden states before each
layer, and the parameters of params.yaml but for what a table says. Distillation sees a quarter of the tokens. Each job
is a fresh process with one thread: its CPU seconds, imports not counted, the least of some rounds, because other jobs
may run on the machine; and its largest resident set above what it has after a job on a tiny parent.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from tessera import params
from tessera.common import files
from tessera.puzzle.costs import measured, profile
from tessera.puzzle.library.activations import store
from tessera.puzzle.models import memory
from tessera.puzzle.models.architecture import from_config
from tessera.puzzle.models.space import FFN, Attention, Space
from tessera.puzzle.params import BATCH, PuzzleParams
from tessera.puzzle.serve.speed import peak_resident_mib
from tessera.puzzle.stages import library_part as puzzle_library

CONFIG = profile.SHAPES["smollm2-135m"] | {"num_hidden_layers": 4}
TINY = {"hidden_size": 36, "intermediate_size": 48, "num_hidden_layers": 1, "vocab_size": 64}
TIMES, LAYERS, VARIANTS = (1, 2, 4, 8), (1, 2, 4), (2, 4, 8)
FLOAT32 = 4
#: New processes are forks of one that has done nothing but imports.
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["tessera.params", "tessera.puzzle.library", "tessera.puzzle.costs.profile"])


def make(directory: Path, config: dict, windows: dict[str, int], window: int) -> None:
    """Write a parent, of which a job reads the layers alone, and random hidden states before each layer."""
    shape = from_config(config)
    weights = AutoModelForCausalLM.from_config(shape.config).state_dict()
    layers = {name: weight for name, weight in weights.items() if name.startswith("model.layers.")}
    files.save_tensors(directory / "model.safetensors", layers)
    files.write_json(directory / "config.json", config)
    for split, count in windows.items():
        (directory / split).mkdir(parents=True)
        for i in range(shape.num_layers):
            parts = (torch.randn(1, window, shape.hidden_size) for _ in range(count))
            store(directory / split / f"layer_{i}.npy", (count, window, shape.hidden_size), parts)


def space_of(variants: int) -> Space:
    """Half the variants attentions of one KV head, half FFNs of half the width."""
    half = range(variants // 2)
    return Space(
        attention={f"kv1_{i}": Attention(kind="gqa", kv_heads=1) for i in half},
        ffn={f"ffn50_{i}": FFN(kind="gated", width=0.5) for i in half},
    )


def job(task: dict) -> dict[str, float]:
    """Run one job in this process; return its CPU seconds, and MiB of memory before and at its peak.

    A job on a tiny parent goes before, so that code is loaded.
    """
    torch.set_num_threads(1)
    settings = puzzle_library.Params.model_validate(task["params"])
    with tempfile.TemporaryDirectory(dir=task["scratch"]) as place:
        tiny, library = Path(place) / "tiny", Path(place) / "library"
        make(tiny, CONFIG | TINY, {"train": BATCH, "valid": BATCH}, 16)
        puzzle_library.main(settings, 0, tiny, [tiny], Path(place) / "tiny library")
        before, start = peak_resident_mib(), time.process_time()
        puzzle_library.main(settings, 0, Path(task["states"]), [Path(task["states"])], library)
        return {"seconds": time.process_time() - start, "before": before, "peak": peak_resident_mib()}


def fresh(task: dict) -> dict[str, float]:
    """The same in a fresh process."""
    with ProcessPoolExecutor(max_workers=1, mp_context=PROCESSES) as process:
        return process.submit(job, task).result()


def points(params: PuzzleParams, fewest: int, scratch: Path) -> Iterator[tuple[str, int, int, dict, dict[str, float]]]:
    """Yield table, number, tokens, the job's arguments, and the bound of its memory in bytes."""
    window, shape = params.calibration.window, from_config(CONFIG)
    for table, numbers in (("tokens", [fewest * n for n in TIMES]), ("layers", LAYERS), ("variants", VARIANTS)):
        for number in numbers:
            tokens = number if table == "tokens" else fewest
            states = scratch / f"states_{tokens}"
            if not states.exists():
                make(states, CONFIG, {"train": tokens // window, "valid": params.library.valid_windows}, window)
            jobs = shape.num_layers // (number if table == "layers" else 1)
            training = params.library.distillation.model_copy(update={"tokens": tokens // 4})
            library = params.library.model_copy(update={"jobs": jobs, "distillation": training})
            space = space_of(number) if table == "variants" else params.space
            arguments = {
                "params": {
                    "space": space.model_dump(),
                    "library": library.model_dump(),
                    "calibration": params.calibration.model_dump(),
                    "compute": params.compute.model_dump(),
                    "seed": 0,
                },
                "states": str(states),
                "scratch": str(scratch),
            }
            yield table, number, tokens, arguments, memory.library_bytes(shape, space, library, window)


def line(x: list[int], y: list[float]) -> dict[str, float]:
    """Least-squares line through points: slope, intercept, R², and the largest deviation as a share of the value."""
    X, Y = np.array(x, float), np.array(y)
    slope, intercept = np.polyfit(X, Y, 1)
    rest = Y - slope * X - intercept
    r2 = 1 - (rest**2).sum() / ((Y - Y.mean()) ** 2).sum()
    return {"slope": slope, "intercept": intercept, "r2": r2, "deviation": float(np.abs(rest / Y).max())}


def markdown(report: dict) -> str:
    """The report as tables."""
    lines = [
        "# A job of the block library",
        "",
        f"{report['machine']}, one layer of SmolLM2-135M's shape, {report['tokens']} tokens in windows of "
        f"{report['window']}, {report['held_out']} held-out",
        "windows and the space of params.yaml, but for what a table says. Each job is a fresh process; CPU seconds "
        f"(least of {report['rounds']}),",
        "since other jobs ran on the machine; memory above what the process has after a job on a tiny parent. "
        f"{BATCH} windows are read at once.",
        "Hidden states are those before, between and after the subblocks of one layer, all of them. Tensors that live",
        "at once do not grow with the text (`tests/puzzle/library/test_library.py`); in addition, a resident set has",
        "what the allocator keeps.",
        "Command: `python benchmarks/puzzle_library.py`.",
    ]
    for table, content in report["tables"].items():
        lines += [
            "",
            f"| {table} | CPU s | peak, MiB | bound, MiB | peak / bound | hidden states, MiB |",
            "|--:|--:|--:|--:|--:|--:|",
        ]
        for row in content["rows"]:
            share = row["peak"] / row["bound"]
            lines.append(
                f"| {row['number']:,} | {row['seconds']:.1f} | {row['peak']:.0f} | {row['bound']:.0f} | {share:.2f} | "
                f"{row['states']:.0f} |"
            )
        fit, unit, scale = content["fit"], *(("1,000 tokens", 1000) if table == "tokens" else (table[:-1], 1))
        lines += [
            "",
            f"Time: {fit['slope'] * scale:.2f} s per {unit}, {fit['intercept']:.1f} s in addition; R² {fit['r2']:.3f}, "
            f"points within {100 * fit['deviation']:.0f} % of the line.",
        ]
    parts = ", ".join(f"{name} {size:.0f}" for name, size in report["bound"].items())
    lines += ["", f"The bound (`memory.library_bytes`) at the space of params.yaml, MiB: {parts}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the benchmark; write its numbers as JSON and its tables as Markdown next to this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=2048, help="of calibration, at the smallest")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(0)
    settings = params.load(Path(__file__).parents[1] / "params.yaml")
    puzzle, shape = settings.puzzle, from_config(CONFIG)
    done: dict[str, list[dict[str, float]]] = {}
    tables: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as place:
        for table, number, tokens, arguments, bound in points(puzzle, options.tokens, Path(place)):
            key = json.dumps(arguments)
            runs = done[key] = done.get(key) or [fresh(arguments) for _ in range(options.rounds)]
            seen = tokens + puzzle.library.valid_windows * puzzle.calibration.window
            row = {
                "number": number,
                "seconds": min(run["seconds"] for run in runs),
                "peak": max(run["peak"] - run["before"] for run in runs),
                "bound": sum(bound.values()) / 2**20,
                "states": 3 * seen * shape.hidden_size * FLOAT32 / 2**20,
            }
            tables.setdefault(table, {"rows": []})["rows"].append(row)
    for content in tables.values():
        content["fit"] = line([row["number"] for row in content["rows"]], [row["seconds"] for row in content["rows"]])
    cpu = torch.device("cpu")
    parts = memory.library_bytes(shape, puzzle.space, puzzle.library, puzzle.calibration.window)
    report = {
        "machine": f"{measured.machine(cpu)}, {measured.software(cpu)}, {time.strftime('%Y-%m-%d')}",
        "tokens": options.tokens,
        "rounds": options.rounds,
        "window": puzzle.calibration.window,
        "held_out": puzzle.library.valid_windows,
        "tables": tables,
        "bound": {name: size / 2**20 for name, size in parts.items()},
    }
    files.write_json(Path(__file__).with_suffix(".json"), report)
    files.write_text(Path(__file__).with_suffix(".md"), markdown(report))


if __name__ == "__main__":
    main()
