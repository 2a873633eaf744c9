"""The balanced perceptron among scikit-learn's tools, against the solvers that it calls."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from tessera.balanced import samples, solvers
from tessera.balanced.estimator import BalancedPerceptron

#: Checks of scikit-learn that a hard margin cannot pass, and why.
EXPECTED_FAILURES = {
    "check_classifiers_train": "its classes overlap, and no weights with the margin exist: status_ is inseparable"
}


@parametrize_with_checks(
    [BalancedPerceptron(), BalancedPerceptron("kappa_out", norm=1.0)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def task(seed=0, n=30, p=20):
    return samples.binary(np.random.default_rng(seed), n, p, 0.8, 0.5)


@pytest.mark.parametrize(("objective", "norm"), [("kappa_in", None), ("kappa_in", 1.0), ("kappa_out", 2.0)])
def test_weights_and_certificates_are_those_of_the_solvers(objective, norm):
    X, y, signs = task()
    fitted = BalancedPerceptron(objective, norm, signs).fit(X, np.where(y > 0, "go", "stop"))
    # The second class in order, stop, is the one that the neuron says.
    result = getattr(solvers, f"max_{objective}")(X, -y, signs, norm)
    np.testing.assert_array_equal(fitted.coef_, result.w)
    assert fitted.status_ == result.status and fitted.certificate_.gap == result.certificate.gap <= 1e-6
    assert fitted.score(X, np.where(y > 0, "go", "stop")) == 1 and fitted.norm_ == pytest.approx(result.norm)
    kappa_in, kappa_out = solvers.margins(result.w, X, -y)
    assert (fitted.kappa_in_, fitted.kappa_out_) == pytest.approx((kappa_in, kappa_out), rel=1e-12)
    margin = fitted.kappa_in_ if objective == "kappa_in" else fitted.kappa_out_
    assert margin == pytest.approx(fitted.certificate_.primal, rel=1e-9)
    assert np.all(signs * fitted.coef_ >= 0)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_without_signs_the_margin_is_that_of_a_support_vector_machine(seed):
    """And Dale's law can only lower it. The threshold is on the far side of 0, or else the margin is met there."""
    X, y, signs = task(seed, n=12, p=8)
    free = BalancedPerceptron().fit(X, y)
    svm = SVC(kernel="linear", C=1e6, tol=1e-8).fit(X, y)
    largest = 1 / np.linalg.norm(svm.coef_)
    if svm.intercept_[0] < -1e-6:
        assert free.kappa_in_ == pytest.approx(largest, rel=1e-4)
    else:
        assert free.kappa_in_ <= largest * (1 + 1e-4)
    law = solvers.max_kappa_in(X, y, signs)
    assert law.kappa <= free.kappa_in_ * (1 + 1e-6)


def test_cross_validation_grid_search_and_pipelines():
    rng = np.random.default_rng(1)
    signs = np.where(np.arange(40) < 32, 1, -1)
    rates = rng.gamma(2.0, size=(2, 40))
    y = np.arange(30) % 2
    X = np.maximum(rates[y] + rng.normal(scale=0.2, size=(30, 40)), 0)
    assert cross_val_score(BalancedPerceptron(signs=signs), X, y, cv=3).min() == 1
    search = GridSearchCV(
        BalancedPerceptron(signs=signs), {"objective": ["kappa_in", "kappa_out"], "norm": [1.0]}, cv=3
    )
    assert search.fit(X, y).best_score_ == 1
    assert make_pipeline(MinMaxScaler(), BalancedPerceptron(signs=signs)).fit(X, y).score(X, y) == 1
    frame = pd.DataFrame(X, columns=[f"cell {i}" for i in range(40)])
    fitted = BalancedPerceptron(signs=signs).fit(frame, y)
    assert fitted.feature_names_in_[3] == "cell 3" and fitted.n_features_in_ == 40 and fitted.score(frame, y) == 1
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.decision_function(frame), fitted.decision_function(frame))
    assert clone(fitted).get_params().keys() == {"objective", "norm", "signs", "tolerance"}


def test_a_task_without_solution_is_a_status_and_a_warning():
    X, y = np.array([[1.0, 2.0], [1.0, 2.0], [3.0, 1.0]]), [0, 1, 1]
    with pytest.warns(ConvergenceWarning, match="the task is inseparable; see certificate_"):
        fitted = BalancedPerceptron(signs=[1, -1]).fit(X, y)
    assert fitted.status_ == "inseparable" and fitted.certificate_.dual <= 0
    assert not fitted.coef_.any() and fitted.predict(X).tolist() == [0, 0, 0] and fitted.kappa_out_ == -1
    with pytest.warns(ConvergenceWarning, match="inseparable_within_norm"):
        weak = BalancedPerceptron("kappa_out", norm=0.01, signs=[1, -1]).fit(X[1:], [0, 1])
    assert weak.kappa_out_ < 0


def test_balanced_weights_at_threshold_zero():
    """Weights without bound: their direction, at threshold 0, is what is returned."""
    X, y = np.array([[2.0, 1.0], [1.0, 2.0]]), [1, 0]
    fitted = BalancedPerceptron(signs=[1, -1]).fit(X, y)
    assert fitted.status_ == "unbounded_norm" and fitted.threshold_ == 0 and fitted.norm_ == pytest.approx(1)
    assert fitted.predict(X).tolist() == y and fitted.kappa_in_ == pytest.approx(0.5**0.5)


def test_bad_input_is_named():
    X, y, signs = task()
    for options, message in [
        ({"objective": "kappa"}, "objective is 'kappa'; expected kappa_in or kappa_out"),
        ({"objective": "kappa_out"}, "norm is None"),
        ({"norm": -1.0}, "norm: -1.0 is not a positive number"),
        ({"signs": signs[:-1]}, r"signs: shape \(29,\), expected \(30,\)"),
        ({"signs": 2 * signs}, "is neither"),
        ({"tolerance": 0.0}, "tolerance: 0.0"),
    ]:
        with pytest.raises(ValueError, match=message):
            BalancedPerceptron(**options).fit(X, y)
    with pytest.raises(ValueError, match="y holds one class, 1"):
        BalancedPerceptron().fit(X, np.ones(len(X), dtype=int))
    with pytest.raises(NotFittedError):
        BalancedPerceptron().predict(X)
