"""The tempotron as a scikit-learn classifier of spike batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from tessera.neurons import labels
from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch, check_spikes
from tessera.tempotron.descent import Epoch, check_finite, check_options, descend
from tessera.tempotron.neuron import batch_max, kernel_at, max_potential, pattern_max, prepare, voltage


def scaled_rate(n_neurons: int, duration: float, kernel: DoubleExponential, threshold: float = 1.0) -> float:
    """Default learning rate 2.25e-3 T / (N A), A the area of a PSP in ms, for about one spike per neuron in T ms.

    At tau_m = 4 tau_s it is 3e-3 T / (tau_m N V0). The potential is homogeneous in the weights, so the rate goes with
    the threshold.
    """
    return 2.25e-3 * duration / (n_neurons * kernel.area) * threshold


class Tempotron(ClassifierMixin, BaseEstimator):
    """Classifier of spike patterns: the neuron fires iff its potential reaches the threshold at any time.

    V(t) = sum_i w_i sum_{t_i < t} k(t - t_i), k the double exponential of unit peak, without reset. Learnt by the rule
    of Guetig and Sompolinsky (2006) with momentum: w <- w + velocity on errors alone, see `descent`.

    Parameters
    ----------
    tau_m, tau_s : membrane and synaptic time constant, ms; tau_m >= tau_s > 0.
    threshold : theta > 0, in the unit of V; weights scale with it.
    learning_rate : > 0, in units of the threshold, or "scaled": see `scaled_rate`.
    momentum : in [0, 1).
    margin : kappa in [0, 1); training asks y (max V - theta) >= kappa theta.
    max_epochs : most epochs of one start, >= 1.
    restarts : further starts after one that reached the cap, >= 0.
    init_scale : sd of the initial weights, >= 0.
    random_state : seed of the initial weights and of the orders; an int, a SeedSequence or a Generator.

    Attributes
    ----------
    classes_ (2,) : the labels, sorted; the neuron fires on the second.
    coef_ (N,) : weights w, in units of V.
    threshold_ : theta.
    converged_ : whether every pattern was learnt.
    status_ : "solved"; "epoch cap", which leaves open whether the task can be solved; or "unsolvable", because a
        pattern of the firing class has no spikes. Such a pattern has V = 0 whatever the weights, so that it can only
        be of the silent class; learning leaves it out and goes through the others.
    history_ (epochs,) : updates per epoch, the passes of `partial_fit` included.
    n_epochs_, restart_ : epochs of the start that is kept, and which start that was, from 0.
    learning_rate_ : the rate used.
    n_features_in_ : N.

    Errors: ValueError that names the parameter, pattern or label; TypeError if X is no SpikeBatch; NotFittedError.
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
        random_state: Any = None,
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

    def fit(self, X: SpikeBatch, y: ArrayLike) -> Tempotron:
        """Learn from all patterns of X, (P, N), and their labels y, (P,), of two classes."""
        self._check()
        spikes = check_spikes(X)
        self.classes_, signs = labels.encode(y, len(spikes))
        kernel = self._kernel
        self._start(spikes, kernel)
        descent = descend(
            self._epoch(spikes, signs, kernel),
            spikes.n_neurons,
            len(spikes),
            np.random.default_rng(self.random_state),
            max_epochs=self.max_epochs,
            init_scale=self.init_scale,
            restarts=self.restarts,
        )
        lost = bool(np.any((spikes.counts == 0) & (signs > 0)))
        self.coef_, self.converged_ = descent.weights, descent.converged and not lost
        self.status_ = "unsolvable" if lost else descent.status
        self.n_epochs_, self.restart_, self.history_ = descent.epochs, descent.restart, descent.updates
        return self

    def partial_fit(self, X: SpikeBatch, y: ArrayLike, classes: ArrayLike | None = None) -> Tempotron:
        """Pass once over X, (P, N), in the order given: the online rule. Weights and velocity carry over.

        classes: the two labels, needed at the first call if y holds one alone. `history_` gets one entry, the updates.
        """
        self._check()
        first = not hasattr(self, "coef_")
        spikes = check_spikes(X, None if first else self.n_features_in_)
        known, signs = labels.encode(y, len(spikes), classes if first else self.classes_)
        kernel = self._kernel
        if first:
            self.classes_ = known
            self._start(spikes, kernel)
            rng = np.random.default_rng(self.random_state)
            self.coef_ = rng.normal(scale=self.init_scale, size=spikes.n_neurons)
            self.history_ = np.empty(0, dtype=np.int64)
        updates = self._epoch(spikes, signs, kernel)(np.arange(len(spikes)), self.coef_, self._velocity)
        check_finite(self.coef_)
        self.history_ = np.append(self.history_, updates)
        return self

    def decision_function(self, X: SpikeBatch) -> np.ndarray:
        """Return max V - theta of each pattern (P,), exact in continuous time, in the unit of V; >= 0 iff it fires."""
        check_is_fitted(self, "coef_")
        return max_potential(self.coef_, check_spikes(X, self.n_features_in_), self._kernel).v_max - self.threshold_

    def predict(self, X: SpikeBatch) -> np.ndarray:
        """Return the class of each pattern (P,): the second of `classes_` where the neuron fires."""
        fires = self.decision_function(X) >= 0
        return self.classes_[fires.astype(int)]

    def voltage(self, X: SpikeBatch, t: np.ndarray) -> np.ndarray:
        """Return V (P, len(t)) at times t in ms."""
        check_is_fitted(self, "coef_")
        spikes = check_spikes(X, self.n_features_in_)
        return np.array([voltage(self.coef_, spikes, p, t, self._kernel) for p in range(len(spikes))])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # a SpikeBatch is ragged
        tags.classifier_tags.multi_class = False
        return tags

    def _start(self, spikes: SpikeBatch, kernel: DoubleExponential) -> None:
        self.n_features_in_, self.threshold_ = spikes.n_neurons, float(self.threshold)
        self.learning_rate_ = self._rate(spikes, kernel)
        self._velocity = np.zeros(spikes.n_neurons)

    @property
    def _kernel(self) -> DoubleExponential:
        return DoubleExponential(self.tau_m, self.tau_s)

    def _rate(self, spikes: SpikeBatch, kernel: DoubleExponential) -> float:
        if self.learning_rate == "scaled":
            return scaled_rate(spikes.n_neurons, spikes.duration, kernel, self.threshold)
        return float(self.learning_rate)

    def _epoch(self, spikes: SpikeBatch, signs: np.ndarray, kernel: DoubleExponential) -> Epoch:
        data = prepare(spikes, kernel)
        # A silent pattern (max V = 0) has no gradient, or next to none long after a lone volley: learning then takes
        # the time at which the input as a whole is strongest.
        _, t_silent = batch_max(np.ones(spikes.n_neurons), data)
        rule = (self.learning_rate_, float(self.momentum), float(self.threshold), float(self.margin))
        return lambda order, weights, velocity: _pass(order, signs, weights, velocity, t_silent, data, *rule)

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
def _pass(order, signs, w, velocity, t_silent, data, rate, momentum, threshold, margin):
    times, neurons = data.times, data.neurons
    updates = 0
    for p in order:
        if data.offsets[p] == data.offsets[p + 1]:  # V = 0 whatever the weights
            continue
        v, t = pattern_max(w, data, p)
        y = signs[p]
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
