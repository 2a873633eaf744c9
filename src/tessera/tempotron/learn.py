"""The tempotron as a scikit-learn style estimator on spike batches."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numba import njit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tempotron.descent import Epoch, check_finite, check_options, descend
from tessera.tempotron.neuron import batch_max, kernel_at, max_potential, pattern_max, prepare


def scaled_rate(n_neurons: int, duration: float, kernel: DoubleExponential, threshold: float = 1.0) -> float:
    """Default learning rate 2.25e-3 T / (N A), A the area of a PSP in ms, for about one spike per neuron in T ms.

    At tau_m = 4 tau_s it is 3e-3 T / (tau_m N V0). The potential is homogeneous in the weights, so the rate goes with
    the threshold.
    """
    return 2.25e-3 * duration / (n_neurons * kernel.area) * threshold


class Tempotron(ClassifierMixin, BaseEstimator):
    """Binary classifier of spike patterns: +1 iff the potential reaches the threshold.

    Parameters
    ----------
    tau_m, tau_s : membrane and synaptic time constant, ms; tau_m >= tau_s > 0.
    threshold : theta > 0.
    learning_rate : > 0, in units of the threshold, or "scaled": see `scaled_rate`.
    momentum : in [0, 1).
    margin : kappa in [0, 1); training asks y (max V - theta) >= kappa theta.
    max_epochs : most epochs of one start.
    restarts : further starts after one that reached the cap.
    init_scale : sd of the initial weights.
    random_state : seed of the initial weights and of the orders; an int, a SeedSequence or a Generator.

    Attributes
    ----------
    coef_ (N,), converged_, status_ ("solved" or "epoch cap"), n_epochs_, restart_, history_ (updates per epoch),
    learning_rate_, classes_ = [-1, 1]
    """

    def __init__(
        self,
        tau_m: float = 15.0,
        tau_s: float = 3.75,
        threshold: float = 1.0,
        learning_rate: float | str = "scaled",
        momentum: float = 0.99,
        margin: float = 0.0,
        max_epochs: int = 1000,
        restarts: int = 0,
        init_scale: float = 1e-3,
        random_state=None,
    ) -> None:
        self.tau_m = tau_m
        self.tau_s = tau_s
        self.threshold = threshold
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.margin = margin
        self.max_epochs = max_epochs
        self.restarts = restarts
        self.init_scale = init_scale
        self.random_state = random_state

    def fit(self, spikes: SpikeBatch, labels: np.ndarray) -> Tempotron:
        """Learn from all patterns, labels (P,) of +1 (fire) and -1. Raises ValueError if they are invalid."""
        self._check()
        labels = check_labels(labels, len(spikes))
        kernel = self._kernel
        self.learning_rate_ = self._rate(spikes, kernel)
        descent = descend(
            self._epoch(spikes, labels, kernel),
            spikes.n_neurons,
            len(spikes),
            np.random.default_rng(self.random_state),
            max_epochs=self.max_epochs,
            init_scale=self.init_scale,
            restarts=self.restarts,
        )
        self.classes_ = np.array([-1, 1])
        self.coef_, self.converged_, self.status_ = descent.weights, descent.converged, descent.status
        self.n_epochs_, self.restart_, self.history_ = descent.epochs, descent.restart, descent.updates
        self._velocity = np.zeros(spikes.n_neurons)
        return self

    def partial_fit(self, batches: Iterable[tuple[SpikeBatch, np.ndarray]]) -> int:
        """Pass once over a stream of (spikes, labels), in the order given; return the updates made.

        Only one batch is in memory at a time. Weights and velocity carry over from earlier calls (or from `fit`).
        """
        self._check()
        kernel = self._kernel
        total = 0
        for spikes, labels in batches:
            labels = check_labels(labels, len(spikes))
            if not hasattr(self, "coef_"):
                rng = np.random.default_rng(self.random_state)
                self.classes_ = np.array([-1, 1])
                self.coef_ = rng.normal(scale=self.init_scale, size=spikes.n_neurons)
                self._velocity = np.zeros(spikes.n_neurons)
                self.learning_rate_ = self._rate(spikes, kernel)
            elif len(self.coef_) != spikes.n_neurons:
                raise ValueError(f"patterns have {spikes.n_neurons} neurons; earlier ones had {len(self.coef_)}")
            total += self._epoch(spikes, labels, kernel)(np.arange(len(spikes)), self.coef_, self._velocity)
            check_finite(self.coef_)
        return total

    def decision_function(self, spikes: SpikeBatch) -> np.ndarray:
        """Return max V - theta of each pattern, (P,)."""
        if not hasattr(self, "coef_"):
            raise NotFittedError("this Tempotron has no weights; call fit first")
        return max_potential(self.coef_, spikes, self._kernel).v_max - self.threshold

    def predict(self, spikes: SpikeBatch) -> np.ndarray:
        """Return +1 where the neuron fires, else -1, (P,)."""
        return np.where(self.decision_function(spikes) >= 0, 1, -1)

    @property
    def _kernel(self) -> DoubleExponential:
        return DoubleExponential(self.tau_m, self.tau_s)

    def _rate(self, spikes: SpikeBatch, kernel: DoubleExponential) -> float:
        if self.learning_rate == "scaled":
            return scaled_rate(spikes.n_neurons, spikes.duration, kernel, self.threshold)
        return float(self.learning_rate)

    def _epoch(self, spikes: SpikeBatch, labels: np.ndarray, kernel: DoubleExponential) -> Epoch:
        data = prepare(spikes, kernel)
        # A silent pattern (max V = 0) has no gradient, or next to none long after a lone volley: learning then takes
        # the time at which the input as a whole is strongest.
        _, t_silent = batch_max(np.ones(spikes.n_neurons), data)
        rule = (self.learning_rate_, float(self.momentum), float(self.threshold), float(self.margin))
        return lambda order, weights, velocity: _pass(order, labels, weights, velocity, t_silent, data, *rule)

    def _check(self) -> None:
        names = ["threshold", "momentum", "margin", "max_epochs", "restarts", "init_scale"]
        check_options(**{name: getattr(self, name) for name in names})
        if isinstance(self.learning_rate, str):
            if self.learning_rate != "scaled":
                raise ValueError(f'learning_rate is {self.learning_rate!r}; expected a positive number or "scaled"')
        else:
            check_options(learning_rate=self.learning_rate)


def check_labels(labels: np.ndarray, n_patterns: int) -> np.ndarray:
    """Return the labels as int64 (P,), or raise ValueError with the first that is not +1 or -1."""
    values = np.asarray(labels)
    if values.shape != (n_patterns,):
        raise ValueError(f"labels have shape {values.shape}; expected ({n_patterns},), one label per pattern")
    wrong = ~np.isin(values, (-1, 1))
    if wrong.any():
        raise ValueError(f"pattern {np.argmax(wrong)}: label is {values[wrong][0]}; expected +1 or -1")
    return values.astype(np.int64)


@njit(cache=True)
def _pass(order, labels, w, velocity, t_silent, data, rate, momentum, threshold, margin):
    times, neurons = data.times, data.neurons
    updates = 0
    for p in order:
        v, t = pattern_max(w, data, p)
        y = labels[p]
        if (v >= threshold) == (y > 0) and y * (v - threshold) >= margin * threshold:
            continue
        updates += 1
        if v == 0.0:
            t = t_silent[p]
        velocity *= momentum
        for k in range(data.offsets[p], data.offsets[p + 1]):
            lag = t - times[k]
            if lag <= 0.0:
                break
            velocity[neurons[k]] += y * rate * kernel_at(lag, data.tau_m, data.excess, data.gain)
        w += velocity
    return updates
