"""One learning epoch of the tempotron on one core, compared with SpikingJelly and Brian2 on the same patterns.

    OMP_NUM_THREADS=1 python benchmarks/tempotron_epoch.py benchmarks/tempotron_epoch

writes .json and .md. SpikingJelly is optional (pip install loguru, then spikingjelly with --no-deps); absent peers are
left out.
Times are CPU seconds of the process, the median of the repeats, so that other load on the machine matters little.
Peers do what they are designed for: SpikingJelly makes one pass of forward, backward and a step of SGD, in batches of
64, and of 1 (which learns after each pattern, as the rule does); Brian2 integrates all patterns once, without learning.
"""

import argparse
import datetime
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from tessera.common import files
from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tempotron import brian, tasks
from tessera.tempotron.learn import Tempotron
from tessera.tempotron.neuron import max_potential

KERNEL = DoubleExponential()
N = P = 500
T = 500.0


def timed(action: Callable[[], object], repeats: int) -> dict:
    action()  # compilation, caches
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        action()
        seconds.append(time.process_time() - start)
    return {"seconds": statistics.median(seconds), "fastest": min(seconds), "slowest": max(seconds), "repeats": repeats}


def ours(spikes: SpikeBatch, labels: np.ndarray) -> dict:
    """The first 20 epochs from small weights, which have the most updates; seconds per epoch."""
    model = Tempotron(max_epochs=20, random_state=0)

    def epochs() -> None:
        model.fit(spikes, labels)

    row = timed(epochs, 7)
    for name in ("seconds", "fastest", "slowest"):
        row[name] /= model.n_epochs_
    return row | {"epochs": model.n_epochs_, "updates": int(model.history_.sum())}


def spikingjelly(spikes: SpikeBatch, labels: np.ndarray, batch: int, repeats: int) -> dict | None:
    try:
        import torch
        from spikingjelly.timing_based.neuron import Tempotron as Peer
    except ImportError as error:
        print(f"SpikingJelly is left out: {error}", file=sys.stderr)
        return None
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = Peer(N, 1, T, KERNEL.tau_m, KERNEL.tau_s).double()
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.99)
    parts = []
    for first in range(0, P, batch):
        part = spikes[first : first + batch]
        tensors = (torch.from_numpy(part.times), torch.from_numpy(part.neurons.astype(np.int64)))
        sign = torch.from_numpy(labels[first : first + batch].astype(float))
        parts.append((*tensors, torch.from_numpy(part.offsets), sign))

    def epoch() -> None:
        for times, inputs, offsets, sign in parts:
            optimiser.zero_grad()
            v_max, _, _ = net(times, inputs, offsets)
            torch.relu(sign * (1.0 - v_max[:, 0])).sum().backward()
            optimiser.step()

    return timed(epoch, repeats) | {"version": importlib.metadata.version("spikingjelly")}


def brian2(spikes: SpikeBatch) -> dict:
    weights = np.random.default_rng(1).normal(scale=0.05, size=N)
    on_grid = brian.on_grid(spikes, 0.1)
    start = time.process_time()
    simulated = brian.forward(weights, on_grid, KERNEL, 1.0, 0.1)
    seconds = time.process_time() - start
    gap = np.abs(max_potential(weights, on_grid, KERNEL).v_max - np.maximum(simulated.v.max(axis=1), 0)).max()
    return {
        "seconds": seconds,
        "repeats": 1,
        "version": importlib.metadata.version("brian2"),
        "largest_gap": float(gap),
    }


def scaling() -> list[dict]:
    rows = []
    for n in (100, 300, 1000, 3000, 10_000):
        rng = np.random.default_rng(n)
        spikes = tasks.spike_patterns("single", n, max(200_000 // n, 20), T, rng)
        weights = rng.normal(size=n) / n**0.5
        row = timed(lambda s=spikes, w=weights: max_potential(w, s, KERNEL), 5)
        rows.append({"afferents": n, "patterns": len(spikes), "ns_per_spike": 1e9 * row["fastest"] / len(spikes.times)})
    return rows


def stream(patterns: int = 500_000, n: int = 100, chunk: int = 5000) -> dict:
    def batches() -> Iterator[tuple[SpikeBatch, np.ndarray]]:
        rng = np.random.default_rng(0)
        for _ in range(patterns // chunk):
            times = np.sort(rng.uniform(0, T, (chunk, n)), axis=1)
            neurons = rng.permuted(np.tile(np.arange(n, dtype=np.int32), (chunk, 1)), axis=1)
            offsets = np.arange(chunk + 1) * n
            yield SpikeBatch(times.ravel(), neurons.ravel(), offsets, n, T), tasks.labels(chunk, rng)

    model = Tempotron(random_state=0)
    model.partial_fit(*next(batches()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    for batch in batches():
        model.partial_fit(*batch)
    seconds = time.process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {
        "patterns": patterns,
        "afferents": n,
        "seconds": seconds,
        "updates": int(model.history_[1:].sum()),
        "memory_grown_mib": grown,
        "whole_set_mib": patterns * n * 12 / 2**20,
    }


def alone(action: Callable[[], dict]) -> dict:
    """The action's result in a separate process, whose peak memory nothing before it has raised."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(action).result()


def report(results: dict) -> str:
    rows = results["epoch"]
    base = rows["tessera"]["seconds"]
    lines = [
        "# One epoch of the tempotron",
        "",
        f"{N} afferents, {P} patterns of {T:g} ms, one spike per afferent, one core of {results['cpu']}; commit "
        f"{results['commit']}, {results['date']}, Python {results['python']}, Numba {results['numba']}. CPU seconds, "
        "the median of the repeats. Command: `OMP_NUM_THREADS=1 python benchmarks/tempotron_epoch.py "
        "benchmarks/tempotron_epoch`",
        "",
        "| code | s per epoch | patterns/s | ratio to tessera |",
        "|---|---:|---:|---:|",
    ]
    for name, row in rows.items():
        version = f" {row['version']}" if "version" in row else ""
        label, seconds = name.replace(",", f"{version},", 1), row["seconds"]
        lines.append(f"| {label} | {seconds:.3g} | {P / seconds:,.0f} | {seconds / base:,.3g} |")
    lines += [
        "",
        "Cost of the exact maximum, linear in the spikes:",
        "",
        "| afferents | patterns | ns per spike |",
        "|---:|---:|---:|",
    ]
    lines += [f"| {r['afferents']} | {r['patterns']} | {r['ns_per_spike']:.1f} |" for r in results["scaling"]]
    s = results["stream"]
    lines += [
        "",
        f"A streamed epoch of {s['patterns']:,} patterns of {s['afferents']} spikes took {s['seconds']:.0f} s, drawing "
        f"them included, while the peak memory grew by {s['memory_grown_mib']:.0f} MiB (the whole set: "
        f"{s['whole_set_mib']:.0f} MiB).",
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="report without its suffix")
    path = parser.parse_args().path
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("set OMP_NUM_THREADS=1: the claim is about one core")
    rng = np.random.default_rng(0)
    spikes, labels = tasks.spike_patterns("single", N, P, T, rng), tasks.labels(P, rng)
    epoch = {
        "tessera": ours(spikes, labels),
        "SpikingJelly, batches of 64": spikingjelly(spikes, labels, 64, 3),
        "SpikingJelly, pattern by pattern": spikingjelly(spikes, labels, 1, 1),
        "Brian2, forward only, dt 0.1 ms": brian2(spikes),
    }
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    results = {
        "epoch": {name: row for name, row in epoch.items() if row},
        "scaling": scaling(),
        "stream": alone(stream),
        "cpu": cpu(),
        "commit": commit.stdout.strip(),
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "numba": importlib.metadata.version("numba"),
        "load_average": os.getloadavg()[0],
    }
    files.write_json(path.with_suffix(".json"), results)
    files.write_text(path.with_suffix(".md"), report(results))
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
