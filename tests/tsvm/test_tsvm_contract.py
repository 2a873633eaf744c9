"""The T-SVM among scikit-learn's tools, on patterns of all kinds."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import kernels
from tessera.tsvm.estimator import TemporalSVM
from tessera.tsvm.tasks import jittered, xor_branches


def repeated(p=6, n=30, duration=100.0):
    """Jittered copies of a pattern on which the neuron shall fire at 60 ms, and of one on which it shall be silent."""
    rng = np.random.default_rng(0)
    templates = np.sort(rng.uniform(0, duration, (2, n)), axis=1)
    spikes = SpikeBatch.from_dense(templates[np.arange(p) % 2], duration)
    return jittered(spikes, 0.05, rng), [np.array([60.0]) if i % 2 == 0 else np.empty(0) for i in range(p)]


def test_cross_validation_grid_search_and_pipelines():
    spikes, targets = repeated()
    assert cross_val_score(TemporalSVM(C=10.0), spikes, targets, cv=3).min() == 1
    search = GridSearchCV(TemporalSVM(), {"C": [0.001, 10.0]}, cv=2).fit(spikes, targets)
    assert search.best_params_ == {"C": 10.0} and search.score(spikes, targets) == 1
    as_it_is = FunctionTransformer(lambda x: x)
    assert make_pipeline(as_it_is, TemporalSVM()).fit(spikes, targets).score(spikes, targets) == 1


def test_clones_pickles_and_parameters():
    spikes, targets = repeated(2)
    fitted = TemporalSVM(hold=1.0).fit(spikes, targets)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict(spikes)[0], fitted.predict(spikes)[0])
    assert clone(fitted).get_params() == fitted.get_params() and not hasattr(clone(fitted), "status_")
    branches = TemporalSVM(kernels.Branches(kernels.Polynomial(2), xor_branches(3, (0, 2), (1, 3))))
    assert type(clone(branches).kernel) is kernels.Branches and "Branches" in repr(branches)
    assert fitted.n_features_in_ == 30
    for call in (TemporalSVM().predict, TemporalSVM().unit_weights):
        with pytest.raises(NotFittedError):
            call(*([spikes] if call.__name__ == "predict" else []))
    with pytest.raises(TypeError, match="expected a SpikeBatch"):
        TemporalSVM().fit(np.ones((2, 2)), targets)
    with pytest.raises(ValueError, match="expected 30 neurons"):
        fitted.predict(SpikeBatch.from_dense(np.ones((2, 3)), 10.0))


def test_a_pattern_without_spikes_can_only_be_silent():
    spikes, targets = repeated(2)
    more = SpikeBatch.from_patterns([*spikes, ([], [])], 30, 100.0)
    fitted = TemporalSVM().fit(more, [*targets, np.empty(0)])
    plain = TemporalSVM().fit(spikes, targets)
    assert fitted.status_ == "certified" and fitted.margin_ == pytest.approx(plain.margin_, rel=2e-6)
    assert [len(times) for times in fitted.predict(more)] == [1, 0, 0]
    assert not fitted.voltage(more[[2]], np.array([1.0, 50.0])).any()
    with pytest.raises(ValueError, match=r"pattern 2: target 50\.0 ms in a pattern without spikes"):
        TemporalSVM().fit(more, [*targets, np.array([50.0])])
    for kernel in ("poly", "gaussian"):
        bent = TemporalSVM(kernel, scale=0.3, hold=0.0).fit(more, [*targets, np.empty(0)])
        assert bent.status_ in ("certified", "feasible") and len(bent.predict(more)[2]) == 0


def test_patterns_end_at_their_own_duration():
    """What is required, and what the free neuron does, ends with the pattern."""
    spikes, targets = repeated(2)
    short = SpikeBatch.from_patterns([(t[t <= 65], i[t <= 65]) for t, i in spikes], 30, [65.0, 65.0])
    mixed = SpikeBatch.from_patterns([short[0], spikes[1]], 30, [65.0, 100.0])
    with pytest.raises(ValueError, match=r"pattern 1: target 80.0 ms is outside \(0, 65.0\] ms"):
        TemporalSVM().fit(short, [targets[0], np.array([80.0])])
    long, cut = TemporalSVM().fit(spikes, targets), TemporalSVM().fit(mixed, targets)
    assert cut.status_ == "certified" and cut.margin_[0] >= long.margin_[0] * (1 - 1e-6)  # less is required
    assert max(cut.support_times_[cut.support_patterns_ == 0]) <= 65
    both = TemporalSVM().fit(short, targets)
    assert [len(times) for times in both.predict(short)] == [1, 0]


def test_margins_over_time_have_the_certified_least_value():
    spikes, targets = repeated(2)
    fitted = TemporalSVM(hold=0.0).fit(spikes, targets)
    t = np.linspace(0, 100, 20001)
    kappa = fitted.margins(spikes, t, targets)
    low, _ = fitted.margin_
    assert np.isnan(kappa[0, 12000]) and np.isfinite(np.delete(kappa[0], 12000)).all()
    away = np.abs(t - 60) > 1e-3  # next to the target the grid sees 0/0 to rounding
    assert kappa[:, away].min() == pytest.approx(low, rel=1e-3)
    assert kappa[:, away].min() >= low * (1 - 1e-6)
    before = fitted.support_kinds_ == "h"
    for p, at in zip(fitted.support_patterns_[before], fitted.support_times_[before], strict=True):
        assert fitted.margins(spikes, [at], targets)[p, 0] == pytest.approx(low, rel=1e-4)
    free = TemporalSVM(hold=0.0, after_last=False).fit(spikes, targets).margins(spikes, [59.0, 61.0], targets)
    assert np.isnan(free[0, 1]) and np.isfinite(free[[0, 1, 1], [0, 0, 1]]).all()
