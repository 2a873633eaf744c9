"""Traces of the input spikes, compiled: at given times, as differences, and at the start of every piece of a layout.

Everything here is in units of V0 times the scale of the traces, which `layout.Layout` applies: a spike at t_i adds
exp(-s/tau_m) - exp(-s/tau_s), s = t - t_i, to the trace of its afferent. Time constants and times are in ms.
"""

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def traces(patterns, at, times, neurons, offsets, n, tau_m, tau_s):
    """Traces (M, N) in M patterns at times `at`, and their left derivatives: an array (2, M, N)."""
    x = np.zeros((2, len(at), n))
    for j in range(len(at)):
        p = patterns[j]
        for i in range(offsets[p], offsets[p + 1]):
            lag = at[j] - times[i]
            if lag <= 0.0:
                break
            slow, fast = np.exp(-lag / tau_m), np.exp(-lag / tau_s)
            x[0, j, neurons[i]] += slow - fast
            x[1, j, neurons[i]] += fast / tau_s - slow / tau_m
    return x


@njit(cache=True, error_model="numpy")
def steps(patterns, at, origins, times, neurons, offsets, n, tau_m, tau_s):
    """Traces at `at` less those at `origins` (M, N), to the digits of the difference."""
    x = np.zeros((len(at), n))
    for j in range(len(at)):
        p, gap = patterns[j], at[j] - origins[j]
        first, last, sign = (origins[j], at[j], 1.0) if gap > 0.0 else (at[j], origins[j], -1.0)
        slow_falls, fast_falls = np.expm1(-abs(gap) / tau_m), np.expm1(-abs(gap) / tau_s)
        for i in range(offsets[p], offsets[p + 1]):
            if times[i] >= last:
                break
            lag, late = first - times[i], last - times[i]
            if lag > 0.0:
                slow, fast = np.exp(-lag / tau_m) * slow_falls, np.exp(-lag / tau_s) * fast_falls
            else:
                slow, fast = np.expm1(-late / tau_m), np.expm1(-late / tau_s)
            x[j, neurons[i]] += sign * (slow - fast)
    return x


@njit(cache=True, error_model="numpy")
def weighted_terms(w, length, first, spike_start, spike_neuron, tau_m, tau_s):
    """(E, 2) coefficients of w.x in each piece, of exp(-s/tau_s) and exp(-s/tau_m), s from the start of the piece."""
    terms = np.empty((len(length), 2))
    d = s = 0.0
    for e in range(len(length)):
        if first[e]:
            d = s = 0.0
        else:
            d *= np.exp(-length[e - 1] / tau_m)
            s *= np.exp(-length[e - 1] / tau_s)
        for i in range(spike_start[e], spike_start[e + 1]):
            d += w[spike_neuron[i]]
            s += w[spike_neuron[i]]
        terms[e, 0] = -s
        terms[e, 1] = d
    return terms


@njit(cache=True, error_model="numpy")
def slow_and_fast(length, first, spike_start, spike_neuron, n, tau_m, tau_s):
    """The slow and the fast part of all traces, each (E, N), at the start of each piece."""
    slow, fast = np.zeros((len(length), n)), np.zeros((len(length), n))
    for e in range(len(length)):
        if not first[e]:
            slow[e] = slow[e - 1] * np.exp(-length[e - 1] / tau_m)
            fast[e] = fast[e - 1] * np.exp(-length[e - 1] / tau_s)
        for i in range(spike_start[e], spike_start[e + 1]):
            slow[e, spike_neuron[i]] += 1.0
            fast[e, spike_neuron[i]] += 1.0
    return slow, fast
