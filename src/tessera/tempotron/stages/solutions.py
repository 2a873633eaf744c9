"""The solutions that independent starts find of the same task: overlaps, chords, clusters, and a walk around one."""

from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord
from tessera.neurons.psp import DoubleExponential
from tessera.tempotron import bins, solutions, tasks
from tessera.tempotron.learn import Tempotron
from tessera.tempotron.neuron import max_potential
from tessera.tempotron.params import ClustersParams, Input, NeuronParams


class Params(Section):
    neuron: NeuronParams
    clusters: ClustersParams
    seed: int


def main(params: Params, inputs: Input, k: int, load: float, pairs: Path, run: Path) -> None:
    wanted, kernel = params.clusters, DoubleExponential(**params.neuron.model_dump())
    frames, metrics = [], {"tasks": 0.0, "solutions": 0.0, "clusters": 0.0, "walk_overlap": 0.0}
    walk: list[np.ndarray] = []
    for task in progress.track(range(wanted.tasks), f"{inputs}, K = {k}, load {load}"):
        rng = generator(params.seed, "tempotron", "clusters", inputs, k, round(1000 * load), task)
        found, accuracy, arc = _solve(inputs, k, load, wanted, kernel, rng)
        metrics["solutions"] += len(found)
        if len(found) < 2:
            continue
        metrics["tasks"] += 1
        number, worst = solutions.clusters(found, accuracy, wanted.chord_points)
        metrics["clusters"] += number
        frames.append(
            pd.DataFrame(
                {
                    "task": task,
                    "overlap": solutions.overlaps(found),
                    "overlap_centred": solutions.overlaps(found, remove_uniform=True),
                    "chord_accuracy": worst,
                }
            )
        )
        if wanted.walk_steps:
            path = solutions.walk(found[0], arc, wanted.walk_steps, rng)
            unit = path / np.linalg.norm(path, axis=1, keepdims=True)
            walk.append(unit @ unit[0])
    columns = ["task", "overlap", "overlap_centred", "chord_accuracy"]
    table = pd.concat(frames) if frames else pd.DataFrame(columns=columns, dtype=float)
    files.write_parquet(pairs, table.assign(inputs=inputs, k=k, load=load))
    if frames:
        metrics |= {f"mean_{name}": float(table[name].mean()) for name in columns[1:]}
        metrics["connected_pairs"] = float((table["chord_accuracy"] >= 1).mean())
        metrics["clusters"] /= metrics["tasks"]
    curve = np.mean(walk, axis=0) if walk else np.empty(0)
    metrics["walk_overlap"] = float(curve[-1]) if walk else 1.0
    marks = np.unique(np.geomspace(1, max(len(curve), 1), 30).astype(int)) - 1
    RunRecord(
        experiment="tempotron/clusters",
        name=f"tempotron_solutions/inputs={inputs}/k={k}/load={load}",
        params=wanted.model_dump(mode="json") | {"inputs": inputs, "k": k, "load": load},
        tags={"snakemake.rule": "tempotron_solutions", "seed": str(params.seed)},
        metrics=metrics,
        history={"walk_overlap_with_start": [(int(s), float(curve[s])) for s in marks if walk]},
        figures=["reports/figures/tempotron/overlaps.svg", "reports/figures/tempotron/walk.svg"],
        note="Clusters are those of straight chords: a blocked chord does not prove separation. The walk's overlap "
        "with its start tells how far it mixed; trained solutions are no uniform sample.",
    ).write(run)


def _solve(inputs: Input, k: int, load: float, wanted: ClustersParams, kernel: DoubleExponential, rng):
    """Draw one task; return the solutions found (S, N), an accuracy of weights, and an arc for the walk."""
    n, p = wanted.afferents, round(load * wanted.afferents)
    rate = wanted.rate / n
    if inputs == "bins":
        patterns, labels = tasks.bin_patterns(k, n, p, rng), tasks.labels(p, rng)
        runs = [
            bins.train(patterns, labels, rng, rate=rate, momentum=wanted.momentum, max_epochs=wanted.max_epochs)
            for _ in range(wanted.solutions)
        ]
        found = [one.weights for one in runs if one.converged]
        potential, arc = (lambda w: bins.max_projection(w, patterns)), solutions.bins_arc(patterns, labels)
    else:
        spikes, labels = tasks.spike_patterns(inputs, n, p, tasks.duration(k, kernel), rng), tasks.labels(p, rng)
        model = Tempotron(kernel.tau_m, kernel.tau_s, learning_rate=rate, momentum=wanted.momentum,
                          max_epochs=wanted.max_epochs, init_scale=1e-2, random_state=rng)  # fmt: skip
        fits = [(m.coef_.copy(), m.converged_) for _ in range(wanted.solutions) if (m := model.fit(spikes, labels))]
        found = [weights for weights, converged in fits if converged]
        potential = lambda w: max_potential(w, spikes, kernel).v_max  # noqa: E731
        arc = solutions.spikes_arc(spikes, labels, kernel)
    return np.array(found), lambda w: float(((potential(w) >= 1) == (labels > 0)).mean()), arc


if __name__ == "__main__":
    stage.run(main)
