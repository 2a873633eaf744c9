"""The tempotron among scikit-learn's tools, on patterns of all kinds."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tessera.neurons.labels import encode
from tessera.neurons.spikes import SpikeBatch
from tessera.tempotron.learn import Tempotron
from tessera.tempotron.neuron import max_potential, max_potential_reference


def two_groups(seed, p=40, n=20, duration=100.0):
    """Patterns that are noisy copies of two templates, so that held-out ones can be told."""
    rng = np.random.default_rng(seed)
    templates = rng.uniform(0, duration, (2, n))
    y = np.arange(p) % 2
    times = np.clip(templates[y] + rng.normal(scale=1.0, size=(p, n)), 0, duration)
    return SpikeBatch.from_dense(times, duration), y


def model(**options):
    return Tempotron(learning_rate=5e-3, max_epochs=300, random_state=0, **options)


@pytest.mark.parametrize("names", [("no", "yes"), (False, True), (2, 7), (-1.0, 1.0)])
def test_any_two_labels_are_the_same_task(names):
    spikes, y = two_groups(0)
    plain = model().fit(spikes, 2 * y - 1)
    named = model().fit(spikes, np.array(names)[y])
    assert np.array_equal(named.coef_, plain.coef_) and named.classes_.tolist() == list(names)
    assert (
        named.predict(spikes).tolist() == np.array(names)[y].tolist() and named.score(spikes, np.array(names)[y]) == 1
    )
    np.testing.assert_array_equal(named.predict(spikes) == names[1], named.decision_function(spikes) >= 0)


def test_cross_validation_grid_search_and_pipelines():
    spikes, y = two_groups(1)
    assert cross_val_score(model(), spikes, y, cv=4).min() >= 0.8
    assert cross_val_score(model(), spikes, y, cv=4, scoring="roc_auc").min() >= 0.8
    search = GridSearchCV(model(), {"margin": [0.0, 0.2], "tau_m": [10.0, 15.0]}, cv=3).fit(spikes, y)
    assert search.best_score_ >= 0.8 and search.predict(spikes[:3]).shape == (3,)
    first_half = FunctionTransformer(lambda x: SpikeBatch.from_patterns(x, x.n_neurons, x.durations))
    assert make_pipeline(first_half, model()).fit(spikes, y).score(spikes, y) == 1


def test_clones_pickles_and_parameters():
    spikes, y = two_groups(2)
    fitted = model(margin=0.1).fit(spikes, y)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.decision_function(spikes), fitted.decision_function(spikes))
    assert clone(fitted).get_params() == fitted.get_params() and not hasattr(clone(fitted), "coef_")
    assert fitted.n_features_in_ == 20 and fitted.threshold_ == 1.0
    assert fitted.set_params(threshold=2.0).threshold_ == 1.0  # what was fitted stays
    for call in (model().predict, model().decision_function, lambda x: model().voltage(x, [1.0])):
        with pytest.raises(NotFittedError):
            call(spikes)
    with pytest.raises(TypeError, match="expected a SpikeBatch"):
        model().fit(np.ones((4, 2)), [0, 1, 0, 1])


def test_the_online_rule():
    spikes, y = two_groups(3)
    with pytest.raises(ValueError, match="one class"):
        model().partial_fit(spikes[:1], y[:1])
    online = model()
    for p in range(len(spikes)):
        online.partial_fit(spikes[[p]], y[[p]], classes=[0, 1])
    assert online.history_.shape == (40,) and set(online.history_) == {0, 1}
    at_once = model().partial_fit(spikes, y)
    np.testing.assert_array_equal(online.coef_, at_once.coef_)
    with pytest.raises(ValueError, match="pattern 0: label is 3; expected 0 or 1"):
        online.partial_fit(spikes[:1], [3])
    with pytest.raises(ValueError, match="expected 20 neurons"):
        online.partial_fit(SpikeBatch.from_dense(np.ones((2, 3)), 10.0), [0, 1])


def test_the_voltage_reaches_its_maximum():
    spikes, y = two_groups(4)
    fitted = model().fit(spikes, y)
    potential = max_potential(fitted.coef_, spikes)
    v = fitted.voltage(spikes, potential.t_max)
    np.testing.assert_allclose(np.diag(v), potential.v_max, rtol=1e-9)


def test_silent_patterns_belong_to_the_silent_class():
    spikes, y = two_groups(5)
    with_silence = SpikeBatch.from_patterns([*spikes, ([], [])], 20, 100.0)
    plain, null = model().fit(spikes, y), model().fit(with_silence, [*y, 0])
    assert plain.converged_ and null.converged_ and null.predict(with_silence)[-1] == 0
    assert null.decision_function(with_silence)[-1] == -1
    firing = model().fit(with_silence, [*y, 1])
    assert firing.status_ == "unsolvable" and not firing.converged_ and firing.history_[-1] == 0
    assert firing.score(with_silence, [*y, 1]) == 40 / 41  # the others are learnt


def test_patterns_of_different_length():
    """A spike just before the end acts only where the pattern goes on."""
    spikes = SpikeBatch.from_patterns([([9.0], [0]), ([9.0], [0])], 1, [10.0, 40.0])
    assert max_potential(np.ones(1), spikes).t_max[0] == 10
    assert max_potential(np.ones(1), spikes).v_max[0] < max_potential(np.ones(1), spikes).v_max[1] == pytest.approx(1)
    fitted = model().fit(spikes, [0, 1])
    assert fitted.converged_ and fitted.predict(spikes).tolist() == [0, 1]


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_maxima_of_ragged_batches_are_those_of_each_pattern(seed):
    rng = np.random.default_rng(seed)
    durations, counts = rng.uniform(5, 60, 6), rng.integers(0, 5, 6)
    pairs = [(np.sort(rng.uniform(0, t, c)), rng.integers(3, size=c)) for t, c in zip(durations, counts, strict=True)]
    batch, w = SpikeBatch.from_patterns(pairs, 3, durations), rng.normal(size=3)
    all_at_once, reference = max_potential(w, batch), max_potential_reference(w, batch)
    alone = [max_potential(w, batch[[p]]) for p in range(6)]
    np.testing.assert_array_equal(all_at_once.v_max, np.concatenate([one.v_max for one in alone]))
    np.testing.assert_allclose(all_at_once.v_max, reference.v_max, rtol=1e-12, atol=1e-12)
    assert all_at_once.t_max == pytest.approx(reference.t_max, abs=1e-6)


def test_labels_are_encoded_or_refused():
    assert encode([1, 1], 2)[0].tolist() == [-1, 1] and encode([-1, -1], 2)[1].tolist() == [-1, -1]
    for bad, message in (([0, 0], "one class: 0"), ([True, True], "one class: True"), ([0.5, 0.25], "continuous")):
        with pytest.raises(ValueError, match=message):
            encode(bad, 2)
    with pytest.raises(ValueError, match=r"expected \(3,\)"):
        encode([0, 1], 3)
