"""Figures of one's own fit. Each draws on the Axes that it is given, in the reader's own style, and returns them.

    figure, ax = plt.subplots()
    plot_voltage(model, X, 3, ax)

Potentials and weights are drawn in units of the threshold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from tessera.neurons import labels
from tessera.neurons.spikes import SpikeBatch, check_spikes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: ms between two points of a drawn potential, and least number of points.
STEP, POINTS = 0.05, 500
#: A margin is drawn up to this many times the certified one: next to it lies what decides.
TALLEST = 6.0


def plot_voltage(model: Any, X: SpikeBatch, trial: int, ax: Axes, y: Any = None) -> Axes:
    """Draw V of one pattern over time, with the threshold, the input spikes below and what the neuron does.

    model: a fitted Tempotron, whose largest V is marked, or TemporalSVM, whose spikes are; y: targets of the latter, as
    in its fit, which then resets the potential. Raises IndexError if there is no such trial.
    """
    check_is_fitted(model)
    alone = check_spikes(X)[[trial]]
    times, neurons = alone[0]
    t = np.union1d(_grid(alone.duration), times)
    unit = model.threshold_
    if hasattr(model, "decision_function"):
        v = model.voltage(alone, t)[0] / unit
        top = int(np.argmax(v))
        fires = "fires" if model.decision_function(alone)[0] >= 0 else "silent"
        ax.plot(t[top], v[top], "o", color="C1", zorder=3, label=f"largest potential: {fires}")
    else:
        desired = None if y is None else [np.asarray(y[trial], dtype=float)]
        if desired is not None:
            ax.plot(desired[0], np.ones(len(desired[0])), "v", color="C1", zorder=3, label="target")
            t = np.union1d(t, np.concatenate([desired[0], np.nextafter(desired[0], np.inf)]))  # both sides of a reset
        v = model.voltage(alone, t, desired)[0] / unit
        if desired is None:
            out = model.predict(alone)[0]
            ax.plot(out, np.ones(len(out)), "v", color="C1", zorder=3, label="output spike")
    ax.plot(t, v, color="C0", label="potential")
    ax.axhline(1.0, color="0.4", ls="--", lw=1, label="threshold")
    for kind, at in _by_sign(model, times, neurons).items():
        colour = {"inputs": "0.4", "excitatory inputs": "C2", "inhibitory inputs": "C3"}[kind]
        height = 0.05 if kind == "inhibitory inputs" else 0.09
        ax.plot(
            at,
            np.full(len(at), height),
            "|",
            color=colour,
            ms=5,
            mew=0.8,
            transform=ax.get_xaxis_transform(),
            label=kind,
        )
    low, high = float(v.min()), max(1.0, float(v.max()))
    ax.set(xlabel="time (ms)", ylabel="potential (thresholds)", xlim=(0, alone.duration))
    ax.set_ylim(low - 0.25 * (high - low), high + 0.1 * (high - low))
    return _legend(ax, 3)


def plot_margin(model: Any, X: Any, y: Any, ax: Axes, trial: int = 0) -> Axes:
    """Draw the margins of a fit on X and y.

    A Tempotron or BalancedPerceptron: how far the samples of each class lie from the decision, as a histogram, with the
    least distance of each. A TemporalSVM: the margin of silence over the time of one trial, with the certified least
    margin and the support times; values beyond 6 times it are cut.
    """
    check_is_fitted(model)
    if hasattr(model, "decision_function"):
        return _class_margins(model, X, y, ax)
    t = _grid(float(check_spikes(X).durations[trial]))
    alone, desired = X[[trial]], [np.asarray(y[trial], dtype=float)]
    here = (model.support_patterns_ == trial) & (model.support_kinds_ == "h")
    at = model.support_times_[here]
    margin = model.margins(alone, np.append(t, at), desired)[0] * model.norm_  # in units of kappa = 1/|w|
    ax.plot(t, margin[: len(t)], color="C0", label="margin of silence")
    ax.plot(at, margin[len(t) :], "o", color="C1", zorder=3, label="support times")
    ax.axhline(1.0, color="0.4", ls="--", lw=1, label=f"least margin, {1 / model.norm_:.3g}")
    for i, time in enumerate(desired[0]):
        ax.axvline(time, color="C1", lw=1, ls=":", label="" if i else "target")
    ax.set(xlabel="time (ms)", ylabel="margin (least margins)", xlim=(0, X.durations[trial]), ylim=(0, TALLEST))
    return _legend(ax, 4)


def plot_weights(model: Any, ax: Axes) -> Axes:
    """Draw the weight of each afferent, excitatory and inhibitory apart.

    Raises ValueError if the neuron's kernel is not linear: it has no weight per afferent.
    """
    check_is_fitted(model)
    if model.coef_ is None:
        raise ValueError(f"kernel is {model.kernel!r}; only the linear kernel has one weight per afferent")
    w = model.coef_ / (model.threshold_ or 1.0)
    afferents = np.arange(len(w))
    for chosen, colour, name in ((w > 0, "C2", "excitatory"), (w < 0, "C3", "inhibitory")):
        ax.vlines(afferents[chosen], 0, w[chosen], color=colour, lw=1.2, label=f"{name}: {chosen.sum()}")
    if (silent := w == 0).any():
        ax.plot(afferents[silent], w[silent], ".", color="0.6", ms=3, label=f"exactly 0: {silent.sum()}")
    ax.axhline(0, color="0.4", lw=0.8)
    ax.set(xlabel="afferent", ylabel="weight (thresholds)", xlim=(-1, len(w)))
    return _legend(ax, 3)


def plot_convergence(model: Any, ax: Axes) -> Axes:
    """Draw how a fit came about: a Tempotron's updates per epoch, or the bounds of a TemporalSVM in each round.

    Raises ValueError if the model keeps no history.
    """
    check_is_fitted(model)
    history = getattr(model, "history_", None)
    if history is None:
        raise ValueError(f"{type(model).__name__} keeps no history; expected a Tempotron or a TemporalSVM")
    rounds = np.arange(1, len(history) + 1)
    if isinstance(history, np.ndarray):
        ax.step(rounds, history, where="mid", color="C0", label=f"status: {getattr(model, 'status_', 'online')}")
        ax.set(xlabel="epoch", ylabel="updates", ylim=(0, None))
    else:
        low, up = np.array([(entry.low, entry.up) for entry in history]).T
        ax.plot(rounds, up, ".-", color="C1", label="upper bound")
        ax.plot(rounds, low, ".-", color="C0", label="lower bound")
        ax.fill_between(rounds, low, up, color="0.9", label=f"gap, at last {(up[-1] - low[-1]) / up[-1]:.1e}")
        ax.set(xlabel="round", ylabel="objective" if model.status_ == "soft" else "margin")
    ax.xaxis.get_major_locator().set_params(integer=True)
    return _legend(ax, 3)


def _grid(duration: float) -> np.ndarray:
    return np.linspace(0, duration, max(POINTS, int(duration / STEP)) + 1)


def _by_sign(model: Any, times: np.ndarray, neurons: np.ndarray) -> dict[str, np.ndarray]:
    """Input spikes by the sign of their weights, if they have any."""
    if model.coef_ is None:
        return {"inputs": times}
    w = model.coef_[neurons]
    return {"excitatory inputs": times[w > 0], "inhibitory inputs": times[w < 0]}


def _class_margins(model: Any, X: Any, y: ArrayLike, ax: Axes) -> Axes:
    unit = model.threshold_ or 1.0
    distance = model.decision_function(X) / unit
    _, signs = labels.encode(y, len(distance), model.classes_)
    width = float(np.diff(np.histogram_bin_edges(distance, "auto"))[0])
    bins = width * np.arange(np.floor(distance.min() / width), np.ceil(distance.max() / width) + 1)  # with an edge at 0
    for sign, name, colour in ((-1, model.classes_[0], "C0"), (1, model.classes_[1], "C1")):
        values = distance[signs == sign]
        if len(values):
            least = (sign * values).min()
            ax.hist(values, bins=bins, color=colour, alpha=0.5, label=f"class {name}, least margin {least:.3g}")
            ax.axvline(sign * least, color=colour, ls=":")
    ax.axvline(0, color="0.4", lw=1, ls="--", label="decision")
    ax.set(xlabel="distance from the threshold (thresholds)", ylabel="samples")
    return _legend(ax, 2)


def _legend(ax: Axes, columns: int) -> Axes:
    """A legend above the axes, where it hides nothing."""
    ax.legend(ncols=columns, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    return ax
