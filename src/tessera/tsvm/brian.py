"""The same neuron with resets in Brian2: a forward check of trained weights by another simulator.

    dgm/dt = -gm/tau_m,  dgs/dt = -gs/tau_s,  v = V0 (gm - gs);  an input of weight w adds w to gm and gs,
    a spike at v >= theta takes theta/V0 from gm, so theta from v, which decays with tau_m.

Brian2 integrates this exactly from grid time to grid time, so a spike is reported at the first grid time at or after
its crossing, up to one step late. Kicks of membrane noise come at grid times as well, the same to every simulator.
"""

from __future__ import annotations

import numpy as np

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch


def on_grid(spikes: SpikeBatch, dt: float) -> SpikeBatch:
    """The spikes moved to the nearest multiples of dt (ms), as Brian2 delivers them."""
    steps = np.minimum(np.rint(spikes.times / dt), np.floor(spikes.duration / dt))
    times = np.minimum(steps * dt, spikes.duration)  # steps dt may round to above T
    return SpikeBatch(times, spikes.neurons, spikes.offsets, spikes.n_neurons, spikes.duration)


def free_run(
    w: np.ndarray, theta: float, spikes: SpikeBatch, psp: DoubleExponential, dt: float,
    kicks: np.ndarray | None = None, step: float = 0.5,
) -> list[np.ndarray]:  # fmt: skip
    """Output spikes (ms) on pattern 0: of one neuron, or of one a row of kicks (draws, kicks) `step` ms apart.

    Raises ValueError where an input, or the step of the kicks, is off the grid of dt ms.
    """
    times, neurons = spikes.pattern(0)
    off = np.abs(times / dt - np.rint(times / dt)) > 1e-6
    if off.any():
        raise ValueError(f"time {times[off][0]} ms is off the grid of {dt} ms")
    if abs(step / dt - round(step / dt)) > 1e-6:
        raise ValueError(f"kicks {step} ms apart are off the grid of {dt} ms")
    import brian2

    target = brian2.prefs.codegen.target
    brian2.prefs.codegen.target = "numpy"  # a minute of compilation would save seconds of running
    try:
        return _simulate(brian2, w[neurons], theta, times, spikes.duration, psp, dt, kicks, step)
    finally:
        brian2.prefs.codegen.target = target


def _simulate(brian2, weights, theta, times, duration, psp, dt, kicks, step) -> list[np.ndarray]:
    ms = brian2.ms
    brian2.start_scope()
    clock = brian2.Clock(dt=dt * ms)
    copies = 1 if kicks is None else len(kicks)
    namespace = {"tau_m": psp.tau_m * ms, "tau_s": psp.tau_s * ms, "v0": psp.v0, "theta": theta}
    if kicks is not None:
        namespace["noise_kicks"] = brian2.TimedArray(kicks.T, dt=step * ms)
    group = brian2.NeuronGroup(
        copies,
        """dgm/dt = -gm/tau_m : 1
           dgs/dt = -gs/tau_s : 1
           v = v0*(gm - gs) : 1""",
        threshold="v >= theta",
        reset="gm -= theta/v0",
        method="exact",
        clock=clock,
        namespace=namespace,
    )
    # A source for every spike: a source fires at most once a step.
    source = brian2.SpikeGeneratorGroup(len(times), np.arange(len(times)), times * ms, clock=clock)
    synapses = brian2.Synapses(source, group, "w : 1", on_pre="gm += w; gs += w", clock=clock)
    synapses.connect()
    synapses.w = np.repeat(weights, copies)
    monitor = brian2.SpikeMonitor(group)
    parts = [group, source, synapses, monitor]
    if kicks is not None:
        # When inputs act as well: after the threshold of the step that ends at their time.
        parts.append(
            group.run_regularly("gm += noise_kicks(t, i); gs += noise_kicks(t, i)", step * ms, when="synapses", order=1)
        )
    brian2.Network(*parts).run(duration * ms)
    at, who = np.array(monitor.t / ms), np.array(monitor.i)
    return [np.sort(at[who == i]) for i in range(copies)]
