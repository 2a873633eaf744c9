"""The balanced perceptron as a scikit-learn classifier of rates: certified margins under Dale's law."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from tessera.balanced import solvers
from tessera.neurons import labels


class BalancedPerceptron(ClassifierMixin, BaseEstimator):
    """Classifier of rates with the largest margin under Dale's law: class 1 iff w.x > 1, with g_i w_i >= 0.

    kappa_out = min_mu y_mu (w.x_mu - 1) is the margin against noise in the output, kappa_in = kappa_out/|w| that
    against noise in the inputs (Rubin, Abbott and Sompolinsky 2017; see `solvers`).

    Parameters
    ----------
    objective : the margin to maximise, "kappa_in" or "kappa_out".
    norm : |w| <= norm, in thresholds per unit of X, > 0; None for free weights, which "kappa_out" does not allow.
    signs : g (N,), +1 for each excitatory and -1 for each inhibitory afferent; None for weights of either sign.
    tolerance : relative gap of the certificate to stop at, > 0.

    Attributes
    ----------
    classes_ (2,) : the labels, sorted; the neuron says the second.
    coef_ (N,) : weights w, in thresholds per unit of X.
    threshold_ : 1, or 0 if status_ is unbounded_norm.
    status_ : optimal, or why not: see `solvers.Result`. If the weights found do not solve the task, fit warns with a
        ConvergenceWarning; if there are none (inseparable, undecided), they are 0 and the neuron says the first class.
    certificate_ : a `Certificate`: bounds on the margin, and the multipliers (P,) that prove the upper one.
    kappa_in_, kappa_out_ : both margins on the training data; negative if some samples are on the wrong side.
    norm_ : |w|.
    n_features_in_, feature_names_in_ : N, and the names if X has any.

    Errors: ValueError that names the parameter or the value; NotFittedError.
    """

    def __init__(
        self,
        objective: Literal["kappa_in", "kappa_out"] = "kappa_in",
        norm: float | None = None,
        signs: ArrayLike | None = None,
        tolerance: float = 1e-8,
    ) -> None:
        self.objective = objective
        self.norm = norm
        self.signs = signs
        self.tolerance = tolerance

    def fit(self, X: ArrayLike, y: ArrayLike) -> BalancedPerceptron:
        """Find the weights for rates X, (P, N), and labels y, (P,), of two classes."""
        if self.objective not in ("kappa_in", "kappa_out"):
            raise ValueError(f"objective is {self.objective!r}; expected kappa_in or kappa_out")
        x, values = validate_data(self, X, y, dtype=np.float64)
        self.classes_, targets = labels.encode(values, len(x))
        if len(np.unique(targets)) == 1:
            raise ValueError(f"y holds one class, {values[0]}; expected both")
        activity, signs = x, self.signs
        if signs is None:  # a weight of either sign is the difference of two of opposite type
            activity, signs = np.hstack([x, x]), np.repeat([1, -1], x.shape[1])
        if self.objective == "kappa_in":
            result = solvers.max_kappa_in(activity, targets, signs, norm=self.norm, tolerance=self.tolerance)
        elif self.norm is None:
            raise ValueError("norm is None; expected a positive number, because kappa_out grows with the norm")
        else:
            result = solvers.max_kappa_out(activity, targets, signs, norm=self.norm, tolerance=self.tolerance)
        w = np.nan_to_num(result.w)
        if not result.kappa > 0:
            warnings.warn(f"the task is {result.status}; see certificate_", ConvergenceWarning, stacklevel=2)
        self.coef_ = w if self.signs is not None else w[: x.shape[1]] + w[x.shape[1] :]
        self.threshold_ = 0.0 if result.status == "unbounded_norm" else 1.0
        self.status_, self.certificate_ = result.status, result.certificate
        self.norm_ = float(np.linalg.norm(self.coef_))
        self.kappa_out_ = float((targets * (x @ self.coef_ - self.threshold_)).min())
        self.kappa_in_ = self.kappa_out_ / self.norm_ if self.norm_ else -np.inf
        return self

    def decision_function(self, X: ArrayLike) -> NDArray:
        """Return w.x - threshold_ of each sample (P,), in thresholds; > 0 iff the neuron says the second class."""
        check_is_fitted(self, "coef_")
        return validate_data(self, X, dtype=np.float64, reset=False) @ self.coef_ - self.threshold_

    def predict(self, X: ArrayLike) -> NDArray:
        """Return the class of each sample (P,)."""
        plus = self.decision_function(X) > 0
        return self.classes_[plus.astype(int)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
