"""Parent and child in the engines that people serve with on a CPU: tokens a second, in turn.

    python benchmarks/puzzle_serving.py PARENT CHILD [--rounds 5] [--threads 1]

PARENT and CHILD are directories, such as data/parent and data/puzzle/children/cpu. torch computes in float32, llama.cpp
with each type of weights. All files and models are in one process and take turns, round by round; the numbers are
medians, and ratios are medians of the rounds' ratios.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from tessera.common import files
from tessera.puzzle.costs import measured
from tessera.puzzle.costs.params import CostTarget, Workload
from tessera.puzzle.serve import llama_cpp, speed, speed_llama_cpp

WORKLOAD = Workload(batch=1, prefill=128, decode=128)
TYPES = ("float16", "q8_0", "q5_0", "q4_0", "mxfp4")


def times(places: dict[str, Path], engine: str, threads: int, rounds: int) -> tuple[dict[str, speed.Times], dict]:
    """Times of parent and child in torch, or in llama.cpp with weights of the type `engine`; and the files' MiB."""
    if engine == "torch":
        target = CostTarget(source="measured", hardware="cpu", dtype="float32", workload=WORKLOAD, threads=threads)
        models = {name: speed.load(place, target) for name, place in places.items()}
        sizes = {name: sum(p.nbytes for p in model.parameters()) / 2**20 for name, model in models.items()}
        return speed.times(models, target, rounds), sizes
    settings = {"source": "llama.cpp", "hardware": "cpu", "dtype": engine, "workload": WORKLOAD, "threads": threads}
    target = CostTarget.model_validate(settings)
    with tempfile.TemporaryDirectory() as directory:
        served, refused = speed_llama_cpp.write(places, target, Path(directory))
        if refused:
            raise SystemExit(f"no GGUF form: {refused}")
        sizes = {name: one.path.stat().st_size / 2**20 for name, one in served.items()}
        return speed_llama_cpp.times(served, target, rounds), sizes


def main() -> None:
    """Run the benchmark; write its numbers as JSON and its table as Markdown next to this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parent", type=Path)
    parser.add_argument("child", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    places = {speed.PARENT: options.parent, "child": options.child}
    rows: dict[str, dict[str, Any]] = {}
    for engine in ("torch", *TYPES):
        taken, sizes = times(places, engine, options.threads, options.rounds)
        rows[engine] = {
            name: speed.summary(one, WORKLOAD)
            | {"mib": sizes[name], "speedup": speed.speedups(taken[speed.PARENT], one)}
            for name, one in taken.items()
        }
    torch.set_num_threads(options.threads)
    cpu = torch.device("cpu")
    machine = f"{measured.machine(cpu)}, {measured.software(cpu)}, {llama_cpp.software()}, {time.strftime('%Y-%m-%d')}"
    result = {"machine": machine, "workload": WORKLOAD.model_dump(), "rounds": options.rounds, "engines": rows}
    files.write_json(Path(__file__).with_suffix(".json"), result)
    base = rows["torch"][speed.PARENT]["runtime_tokens_per_s"]
    lines = [
        "# Parent and child in the engines that serve them",
        "",
        f"{machine}.",
        f"{WORKLOAD.prefill} tokens read and {WORKLOAD.decode} written, one request at a time; medians of",
        f"{options.rounds} rounds. The child is the CPU's of the default run. Command:",
        "`python benchmarks/puzzle_serving.py data/parent data/puzzle/children/cpu`.",
        "",
        "| weights | size, MiB: parent | child | written tokens/s: parent | child | child / parent, decode | prefill |"
        " all | child / parent in torch, all |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for engine, of_engine in rows.items():
        parent, child = of_engine[speed.PARENT], of_engine["child"]
        name = "float32 (torch)" if engine == "torch" else f"{engine} (llama.cpp)"
        ratios = (child["speedup"][phase] for phase in ("decode", "prefill", "runtime"))
        lines.append(
            f"| {name} | {parent['mib']:.0f} | {child['mib']:.0f} | {parent['decode_tokens_per_s']:.1f} | "
            f"{child['decode_tokens_per_s']:.1f} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} | "
            f"{child['runtime_tokens_per_s'] / base:.2f} |"
        )
    files.write_text(Path(__file__).with_suffix(".md"), "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
