"""The exclusive-or over kernels, and how much noise each kernel's neuron bears.

Margins of different kernels are in different norms, so noise is what compares them. Noisy kernel neurons run on a
grid of `dt` ms, the same for every kernel: a spike is the first grid time at which V reaches theta, and takes theta.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import TemporalSVM
from tessera.tsvm.kernels import Branches, Gaussian, Interaction, Kernel, Linear, Polynomial, centred_gram
from tessera.tsvm.robustness import kick_size
from tessera.tsvm.tasks import xor_branches


def xor_kernels(n: int) -> dict[str, Kernel]:
    """The kernels compared, by name; features 0 and 1 are A1 and A2, 2 and 3 are B1 and B2, n afferents each.

    matched: branches that join the pairs to fire on; crossed: those to stay silent on; separate: a branch a feature.
    interaction: pairs of synapses on one branch, weaker with their distance, exp(-|i - j|/n).
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


def potentials(model: TemporalSVM, spikes: SpikeBatch, t: np.ndarray) -> np.ndarray:
    """w.phi(x(t)) over theta (P, len(t)) of every pattern, without resets."""
    expansion = model.expansion()
    found = np.empty((len(spikes), len(t)))
    for p in range(len(spikes)):
        times, neurons = spikes.pattern(p)
        x = np.zeros((len(t), spikes.n_neurons))
        np.add.at(x.T, neurons, (model.scale * model.psp_(t[:, None] - times[None, :])).T)
        if expansion is None:
            found[p] = x @ model.unit_weights() * model.threshold_
            continue
        still, atoms = np.zeros_like(x), expansion
        plain, slopes = np.zeros(len(atoms.x), dtype=bool), np.ones(len(atoms.x), dtype=bool)
        rows = np.zeros(len(x), dtype=bool)
        kernel = model.kernel_
        found[p] = centred_gram(kernel, x, still, rows, atoms.x, atoms.u, plain) @ atoms.values
        moving = np.flatnonzero(atoms.derivs)
        if len(moving):
            part = centred_gram(kernel, x, still, rows, atoms.x[moving], atoms.u[moving], slopes[moving])
            found[p] += part @ atoms.derivs[moving]
    return found / model.threshold_


def membrane_noise(psp: DoubleExponential, t: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, len(t)) noise of unit stationary sd on an even grid from 0: white current filtered by tau_m and tau_s."""
    dt = float(t[1] - t[0])
    kicks = kick_size(psp, dt) * rng.normal(size=(count, len(t)))
    return kicks @ psp(t[None, :] - t[:, None])


def correct(
    v: np.ndarray, t: np.ndarray, target: float, fires: np.ndarray, tau_m: float, window: float = 2.0
) -> np.ndarray:
    """Whether each of M runs (M, len(t)) at threshold 1 is right: one spike, within +-window ms of `target`, up to
    the end of that window where fires (M,), and none at all elsewhere."""
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
