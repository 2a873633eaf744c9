"""The same neuron with resets in Brian2: a forward check of trained weights by another simulator.

    dgm/dt = -gm/tau_m,  dgs/dt = -gs/tau_s,  v = V0 (gm - gs);  an input of weight w adds w to gm and gs,
    a spike at v >= theta takes theta/V0 from gm, so theta from v, which decays with tau_m.

Brian2 integrates this exactly from grid time to grid time, so a spike is reported at the first grid time at or after
its crossing, up to one step late. Kicks of membrane noise come at grid times as well, the same to every simulator.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tessera.common.randomness import generator
from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import reference, robustness
from tessera.tsvm.estimator import TemporalSVM
from tessera.tsvm.neuron import match
from tessera.tsvm.params import BrianParams, NeuronParams, ReferenceProblem

#: ms around the crossing within which a spike of the noisy neuron in Brian2 is the same as ours, in addition to its
#: step.
SAME = 0.05


def check(
    params: BrianParams, neuron: NeuronParams, problem: ReferenceProblem, seed: int
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Train on a reference problem, and run the weights in Brian2, with every time step and under membrane noise.

    Returns the delays of Brian2's spikes after the targets, one row per step and spike, and numbers: spikes missed and
    extra, delays in time steps (0 to 1 is exact, -1 if there are none), and the share of equal spikes under the same
    noise.
    """
    psp = DoubleExponential(neuron.tau_m, neuron.tau_s)
    drawn, targets = reference.draw(problem)
    # Inputs are on the coarsest grid before training; finer steps divide it.
    spikes = on_grid(drawn, max(params.steps))
    w = TemporalSVM(**neuron.model_dump()).fit(spikes, targets).unit_weights()
    rows, numbers = [], {"targets": float(len(targets))}
    for dt in params.steps:
        (actual,) = free_run(w, 1.0, spikes, psp, dt)
        # Matched within ±0.1 ms and a step.
        hits = match(actual, targets, dt + 0.1)
        rows += [{"step": dt, "delay": delay} for delay in hits.shifts]
        numbers |= {
            f"missed_{dt:g}": float(len(targets) - hits.hits),
            f"extra_{dt:g}": float(len(actual) - hits.hits),
            f"delay_low_{dt:g}": float(hits.shifts.min(initial=np.inf) / dt) if hits.hits else -1.0,
            f"delay_high_{dt:g}": float(hits.shifts.max(initial=-np.inf) / dt) if hits.hits else -1.0,
        }
    noise = robustness.draws("membrane", spikes, params.draws, generator(seed, "tsvm", "brian"))
    kicks = params.membrane * robustness.kick_size(psp) * noise
    dt = min(params.steps)
    theirs = free_run(w, 1.0, spikes, psp, dt, kicks, robustness.NOISE_STEP)
    ours = robustness.spikes_under(w, 1.0, spikes, psp, "membrane", params.membrane, noise)
    counts = np.array([(match(a, b, dt + SAME).hits, len(a), len(b)) for a, b in zip(theirs, ours, strict=True)])
    numbers |= {
        "noise_spikes": float(counts[:, 2].sum()),
        "noise_spikes_brian": float(counts[:, 1].sum()),
        "noise_same": float(counts[:, 0].sum() / max(counts[:, 1:].max(axis=1).sum(), 1)),
        "noise_f1": float(np.mean([match(times, targets).f1 for times in ours])),
        "noise_f1_brian": float(np.mean([match(times, targets).f1 for times in theirs])),
    }
    return pd.DataFrame(rows, columns=["step", "delay"]), numbers


def on_grid(spikes: SpikeBatch, dt: float) -> SpikeBatch:
    """The spikes moved to the nearest multiples of dt (ms), as Brian2 delivers them."""
    ends = np.repeat(spikes.durations, spikes.counts)
    steps = np.minimum(np.rint(spikes.times / dt), np.floor(ends / dt))
    times = np.minimum(steps * dt, ends)  # steps dt may round to above T
    return SpikeBatch(times, spikes.neurons, spikes.offsets, spikes.n_neurons, spikes.durations)


def free_run(
    w: np.ndarray, theta: float, spikes: SpikeBatch, psp: DoubleExponential, dt: float,
    kicks: np.ndarray | None = None, step: float = 0.5,
) -> list[np.ndarray]:  # fmt: skip
    """Output spikes (ms) on pattern 0: of one neuron, or of one per row of kicks (draws, kicks), `step` ms apart.

    Raises ValueError if an input, or the step of the kicks, is off the grid of dt ms.
    """
    times, neurons = spikes[0]
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
    # A source for every spike: a source fires at most once per step.
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
