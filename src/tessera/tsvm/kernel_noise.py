"""The exclusive-or over kernels, and how much noise each kernel's neuron tolerates.

Margins of different kernels are in different norms, so noise is what compares them. Noisy kernel neurons run on a
grid of `dt` ms, the same for every kernel: a spike is the first grid time at which V reaches theta, and takes theta.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numba import njit

from tessera.common import progress
from tessera.common.randomness import generator
from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm.estimator import TemporalSVM
from tessera.tsvm.kernels import Branches, Gaussian, Interaction, Kernel, Linear, Polynomial, centred_gram
from tessera.tsvm.params import KernelsParams, NeuronParams
from tessera.tsvm.robustness import kick_size
from tessera.tsvm.tasks import jittered, xor, xor_branches


def xor_kernels(n: int) -> dict[str, Kernel]:
    """The kernels compared, by name; features 0 and 1 are A1 and A2, 2 and 3 are B1 and B2, n afferents each.

    matched: branches that join the pairs to fire on; crossed: those to stay silent on; separate: one branch for each
    feature. interaction: pairs of synapses on one branch, weaker with their distance, exp(-|i - j|/n).
    """
    distance = np.abs(np.subtract.outer(np.arange(4 * n), np.arange(4 * n)))
    square = Polynomial(2)
    return {
        "linear": Linear(),
        "separate branches": Branches(square, xor_branches(n, (0, 1), (2, 3))),
        "square, one branch": square,
        "square, matched branches": Branches(square, xor_branches(n, (0, 2), (1, 3))),
        "square, crossed branches": Branches(square, xor_branches(n, (0, 3), (1, 2))),
        "cube, one branch": Polynomial(3),
        "Gaussian, 0.5": Gaussian(0.5),
        "Gaussian, 1.0": Gaussian(1.0),
        "interaction": Interaction(np.exp(-distance / n)),
    }


def compare(params: KernelsParams, neuron: NeuronParams, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Margins of the exclusive-or, and the share of noisy patterns on which each kernel's neuron is right.

    Returns one row per kernel, and one row per kernel with a margin, kind of noise and level.
    """
    psp = DoubleExponential(neuron.tau_m, neuron.tau_s)
    spikes, targets = xor(params.afferents, params.volley, params.target, params.duration)
    fires = np.array([len(times) > 0 for times in targets])
    t = np.arange(0.0, params.duration, params.dt)
    # The same draws for every kernel.
    membrane = membrane_noise(psp, t, params.draws * len(fires), generator(seed, "tsvm", "xor", "membrane"))
    moved = [
        [jittered(spikes, sd, generator(seed, "tsvm", "xor", "jitter", draw)) for draw in range(params.draws)]
        for sd in params.jitter
    ]
    labels = np.tile(fires, params.draws)
    margins, scores = [], []
    for name, kernel in progress.track(xor_kernels(params.afferents).items(), "kernels"):
        model = TemporalSVM(kernel, **neuron.model_dump(), hold=0.0, scale=params.scale, after_last=False)
        model.fit(spikes, targets)
        certificate = model.certificate_
        row = {"kernel": name, "status": model.status_, "low": certificate.low, "up": certificate.up}
        row |= {"ratio": certificate.ratio, "size": certificate.size, "cuts": model.history_[-1].cuts}
        margins.append(row)
        if model.status_ not in ("certified", "feasible"):
            continue
        quiet = np.tile(potentials(model, spikes, t), (params.draws, 1))
        noisy = [("membrane", level, quiet + level * membrane) for level in params.membrane]
        noisy += [
            ("jitter", level, np.vstack([potentials(model, copy, t) for copy in copies]))
            for level, copies in zip(params.jitter, moved, strict=True)
        ]
        for kind, level, v in noisy:
            right = correct(v, t, params.target, labels, neuron.tau_m)
            scores.append({"kernel": name, "kind": kind, "level": level} | _shares(right, labels))
    return pd.DataFrame(margins), pd.DataFrame(scores)


def _shares(right: np.ndarray, fires: np.ndarray) -> dict[str, Any]:
    """Share of patterns (M,) that are right: of all, of those to fire on and of the others."""
    return {
        "right": float(right.mean()),
        "right_firing": float(right[fires].mean()),
        "right_silent": float(right[~fires].mean()),
        "patterns": len(right),
    }


def potentials(model: TemporalSVM, spikes: SpikeBatch, t: np.ndarray) -> np.ndarray:
    """w.phi(x(t)) over theta (P, len(t)) of every pattern, without resets."""
    expansion = model.expansion()
    v = np.empty((len(spikes), len(t)))
    for p in range(len(spikes)):
        times, neurons = spikes[p]
        x = np.zeros((len(t), spikes.n_neurons))
        np.add.at(x.T, neurons, (model.scale * model.psp_(t[:, None] - times[None, :])).T)
        if expansion is None:
            v[p] = x @ model.unit_weights() * model.threshold_
            continue
        still, atoms = np.zeros_like(x), expansion
        plain, slopes = np.zeros(len(atoms.x), dtype=bool), np.ones(len(atoms.x), dtype=bool)
        rows = np.zeros(len(x), dtype=bool)
        kernel = model.kernel_
        v[p] = centred_gram(kernel, x, still, rows, atoms.x, atoms.u, plain) @ atoms.values
        moving = np.flatnonzero(atoms.derivs)
        if len(moving):
            part = centred_gram(kernel, x, still, rows, atoms.x[moving], atoms.u[moving], slopes[moving])
            v[p] += part @ atoms.derivs[moving]
    return v / model.threshold_


def membrane_noise(psp: DoubleExponential, t: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, len(t)) noise of unit stationary sd on an even grid from 0: white current filtered by tau_m and tau_s."""
    dt = float(t[1] - t[0])
    kicks = kick_size(psp, dt) * rng.normal(size=(count, len(t)))
    return kicks @ psp(t[None, :] - t[:, None])


def correct(
    v: np.ndarray, t: np.ndarray, target: float, fires: np.ndarray, tau_m: float, window: float = 2.0
) -> np.ndarray:
    """Whether each of M runs (M, len(t)) at threshold 1 is right: one spike, within +-window ms of `target`, up to
    the end of that window if fires (M,), and none at all otherwise."""
    return _correct(v, t, target, fires, np.exp(-(t[1] - t[0]) / tau_m), window)


@njit(cache=True, error_model="numpy")
def _correct(v, t, target, fires, decay, window):
    right = np.zeros(len(v), dtype=np.bool_)
    for m in range(len(v)):
        reset = 0.0
        spikes = hits = 0
        for i in range(len(t)):
            if fires[m] and t[i] > target + window:
                break
            reset *= decay
            if v[m, i] - reset >= 1.0:
                spikes += 1
                reset += 1.0
                hits += abs(t[i] - target) <= window
        right[m] = spikes == hits == 1 if fires[m] else spikes == 0
    return right
