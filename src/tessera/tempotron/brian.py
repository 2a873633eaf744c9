"""The same neuron in Brian2: a forward check of trained weights by another simulator.

    dgm/dt = -gm/tau_m,  dgs/dt = -gs/tau_s,  v = V0 (gm - gs);  a spike of weight w adds w to gm and gs.

Brian2 integrates this exactly from grid time to grid time, with inputs on the grid. It sees V on the grid only, so
decisions agree with the exact maximum unless that lies within the grid's error of the threshold.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from tessera.common.randomness import generator
from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tempotron import tasks
from tessera.tempotron.learn import Tempotron
from tessera.tempotron.neuron import check_weights, max_potential, voltage
from tessera.tempotron.params import BrianParams, NeuronParams


@dataclass(frozen=True)
class Forward:
    """v (P, G) at the grid times (G,) in ms, after integration of the step that ends there; fires (P,) booleans."""

    times: np.ndarray
    v: np.ndarray
    fires: np.ndarray


def on_grid(spikes: SpikeBatch, dt: float) -> SpikeBatch:
    """The spikes moved to the nearest multiples of dt (ms), as Brian2 delivers them."""
    ends = np.repeat(spikes.durations, spikes.counts)
    steps = np.minimum(np.rint(spikes.times / dt), np.floor(ends / dt))
    times = np.minimum(steps * dt, ends)  # steps dt may round to above T
    return SpikeBatch(times, spikes.neurons, spikes.offsets, spikes.n_neurons, spikes.durations)


def grid_error(weights: np.ndarray, spikes: SpikeBatch, kernel: DoubleExponential, dt: float) -> np.ndarray:
    """Bound (P,) on max V - max over the grid: |V'| <= V0 (1/tau_s) sum |w|, over the spikes that can add up.

    The peak lies within dt/2 of a grid time; |k'| is at most V0 (1/tau_s - 1/tau_m), at s = 0, and decays with tau_m.
    """
    slope = kernel.gain / kernel.tau_m
    bounds = []
    for p in range(len(spikes)):
        times, neurons = spikes[p]
        trace = largest = 0.0
        for gap, w in zip(np.diff(times, prepend=times[:1]), np.abs(weights[neurons]), strict=True):
            trace = trace * np.exp(-gap / kernel.tau_m) + w
            largest = max(largest, trace)
        bounds.append(slope * largest * dt / 2)
    return np.array(bounds)


def forward(
    weights: np.ndarray,
    spikes: SpikeBatch,
    kernel: DoubleExponential | None = None,
    threshold: float = 1.0,
    dt: float = 0.1,
    device: Literal["runtime", "cpp_standalone"] = "runtime",
) -> Forward:
    """Run every pattern on its own neuron, on spikes that lie on the grid of dt ms (see `on_grid`).

    Raises ValueError if a spike is off the grid or durations differ. `cpp_standalone` compiles a program in a temporary
    directory.
    """
    kernel = kernel or DoubleExponential()
    w = check_weights(weights, spikes.n_neurons)
    off = np.abs(spikes.times / dt - np.rint(spikes.times / dt)) > 1e-6
    if off.any():
        pattern = int(np.searchsorted(spikes.offsets, np.argmax(off), side="right")) - 1
        raise ValueError(f"pattern {pattern}: time {spikes.times[off][0]} ms is off the grid of {dt} ms")
    if np.ptp(spikes.durations):
        raise ValueError(f"durations run from {spikes.durations.min()} to {spikes.duration} ms; expected one for all")
    import brian2

    with tempfile.TemporaryDirectory() as directory:
        if device == "cpp_standalone":
            brian2.set_device("cpp_standalone", directory=directory, build_on_run=True)
        target = brian2.prefs.codegen.target
        brian2.prefs.codegen.target = "numpy"  # a minute of compilation would save a second of running
        try:
            return _simulate(brian2, w, spikes, kernel, threshold, dt)
        finally:
            brian2.prefs.codegen.target = target
            if device == "cpp_standalone":
                brian2.device.reinit()
                brian2.set_device("runtime")


def check(p: BrianParams, neuron: NeuronParams, seed: int) -> tuple[pd.DataFrame, dict[str, float]]:
    """Train a neuron and run it in Brian2 on every device.

    Returns the potential of one target pattern, in closed form and by Brian2 (columns time, brian, exact, v_max, t_max;
    ms), and how well both agree: patterns; certain, those whose exact maximum is farther from the threshold than the
    grid's error; disagree_certain; and for each DEVICE agree_, potential_error_ and peak_below_exact_.
    """
    kernel = DoubleExponential(**neuron.model_dump())
    rng = generator(seed, "tempotron", "brian")
    duration = np.floor(tasks.duration(p.k, kernel) / p.dt) * p.dt
    drawn = tasks.spike_patterns("single", p.afferents, p.patterns, duration, rng)
    spikes, labels = on_grid(drawn, p.dt), tasks.labels(p.patterns, rng)
    model = Tempotron(**neuron.model_dump(), max_epochs=p.max_epochs, random_state=rng).fit(spikes, labels)
    exact = max_potential(model.coef_, spikes, kernel)
    certain = np.abs(exact.v_max - 1) > grid_error(model.coef_, spikes, kernel, p.dt)
    numbers = {"patterns": float(len(spikes)), "certain": float(certain.sum()), "disagree_certain": 0.0}
    for device in p.devices:
        simulated = forward(model.coef_, spikes, kernel, 1.0, p.dt, device)
        same = simulated.fires == (exact.v_max >= 1)
        closed = np.array([voltage(model.coef_, spikes, i, simulated.times, kernel) for i in range(len(spikes))])
        numbers[f"agree_{device}"] = float(same.sum())
        numbers["disagree_certain"] += float((~same[certain]).sum())
        numbers[f"potential_error_{device}"] = float(np.abs(closed - simulated.v).max())
        numbers[f"peak_below_exact_{device}"] = float((exact.v_max - simulated.v.max(axis=1)).max())
    shown = int(np.argmax(np.where(labels > 0, exact.v_max, -1)))
    trace = pd.DataFrame({"time": simulated.times, "brian": simulated.v[shown], "exact": closed[shown]})
    return trace.assign(v_max=exact.v_max[shown], t_max=exact.t_max[shown]), numbers


def _simulate(brian2, weights, spikes, kernel, threshold, dt) -> Forward:
    ms = brian2.ms
    brian2.start_scope()
    clock = brian2.Clock(dt=dt * ms)
    neurons = brian2.NeuronGroup(
        len(spikes),
        """dgm/dt = -gm/tau_m : 1
           dgs/dt = -gs/tau_s : 1
           v = v0*(gm - gs) : 1""",
        threshold="v >= theta",
        refractory="v >= theta",  # one spike per crossing: without a reset it would fire at each step above threshold
        method="exact",
        clock=clock,
        namespace={"tau_m": kernel.tau_m * ms, "tau_s": kernel.tau_s * ms, "v0": kernel.v0, "theta": threshold},
    )
    # A source for every spike: a source fires at most once a step, and an afferent may fire in many patterns.
    n = len(spikes.times)
    source = brian2.SpikeGeneratorGroup(n, np.arange(n), spikes.times * ms, clock=clock)
    synapses = brian2.Synapses(source, neurons, "w : 1", on_pre="gm += w; gs += w", clock=clock)
    synapses.connect(i=np.arange(n), j=np.repeat(np.arange(len(spikes)), np.diff(spikes.offsets)))
    synapses.w = weights[spikes.neurons]
    monitor = brian2.StateMonitor(neurons, "v", record=True, when="end", clock=clock)
    crossings = brian2.SpikeMonitor(neurons)
    network = brian2.Network(neurons, source, synapses, monitor, crossings)
    # One step more than T, because v is recorded after a step's spikes and before time moves on.
    network.run(spikes.duration * ms + dt * ms)
    return Forward(np.array(monitor.t / ms), np.array(monitor.v), np.array(crossings.count) > 0)
