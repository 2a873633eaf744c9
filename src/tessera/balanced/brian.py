"""The same neurons and synapses in Brian2, and weights to and from a simulator's edge list.

Brian2 runs on its NumPy target, which compiles nothing and gives the counts of lif.spike_counts bit by bit.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tessera.balanced.lif import Neuron


def spike_counts(binned: NDArray, neuron: Neuron) -> NDArray:
    """Output spikes (P,) in the window, for weighted input (steps, P): lif.spike_counts as a Brian2 model."""
    import brian2 as b2

    step = neuron.dt * b2.ms
    names = {
        "tau_m": neuron.tau_m * b2.ms,
        "tau_s": neuron.tau_s * b2.ms,
        "gain": neuron.gain,
        "arriving": b2.TimedArray(binned, dt=step),
    }
    clock = b2.Clock(dt=step)
    group = b2.NeuronGroup(
        binned.shape[1],
        """dslow/dt = -slow/tau_m : 1
        dfast/dt = -fast/tau_s : 1
        v = gain*(slow - fast) : 1""",
        threshold="v > 1",
        reset="slow -= 1/gain",
        method="exact",
        namespace=names,
        clock=clock,
        codeobj_class=b2.NumpyCodeObject,
    )
    # The slot 'start' precedes decay, threshold and reset.
    feed = group.run_regularly(
        "slow += arriving(t, i); fast += arriving(t, i)", dt=step, codeobj_class=b2.NumpyCodeObject
    )
    spikes = b2.SpikeMonitor(group, record=False, codeobj_class=b2.NumpyCodeObject)
    network = b2.Network(group, feed, spikes)
    network.run(neuron.steps * step, namespace={})
    return np.asarray(spikes.count, int)


def to_edges(weights: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
    """(pre, post, weight) of W[post, pre], exact zeros dropped, ordered by post, then pre."""
    weights = np.asarray(weights, float)
    if weights.ndim != 2 or not np.isfinite(weights).all():
        raise ValueError(f"weights: expected a finite matrix (post, pre), got shape {weights.shape}")
    post, pre = np.nonzero(weights)
    return pre, post, weights[post, pre]


def from_edges(pre: ArrayLike, post: ArrayLike, weight: ArrayLike, shape: tuple[int, int]) -> NDArray:
    """W[post, pre] of shape (post, pre). Raises ValueError if an edge comes twice."""
    pre, post = np.asarray(pre, int), np.asarray(post, int)
    if len(np.unique(post * shape[1] + pre)) < len(pre):
        raise ValueError("edges: a pair of neurons is connected twice, which a matrix cannot hold")
    weights = np.zeros(shape)
    weights[post, pre] = weight
    return weights


def to_brian2(
    weights: ArrayLike, source: Any, target: Any, on_pre: str = "slow += w; fast += w", **options: Any
) -> Any:
    """Brian2 synapses from source (pre) to target (post) with the weights W[post, pre] in their variable w."""
    import brian2 as b2

    pre, post, weight = to_edges(weights)
    synapses = b2.Synapses(source, target, "w : 1", on_pre=on_pre, **options)
    synapses.connect(i=pre, j=post)
    synapses.w = weight
    return synapses
