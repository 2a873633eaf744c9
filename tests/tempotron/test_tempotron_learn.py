import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tempotron import bins, tasks
from tessera.tempotron.learn import Tempotron, scaled_rate
from tessera.tempotron.neuron import max_potential, psp


def task(seed, n=50, alpha=1.0, ensemble="single", duration=200.0):
    rng = np.random.default_rng(seed)
    p = round(alpha * n)
    return tasks.spike_patterns(ensemble, n, p, duration, rng), tasks.labels(p, rng)


def test_default_rate():
    kernel = DoubleExponential()
    assert scaled_rate(100, 500, kernel) == pytest.approx(4.7e-4, rel=0.01)
    assert scaled_rate(500, 500, kernel) == pytest.approx(9.4e-5, rel=0.01)


@pytest.mark.parametrize("ensemble", ["single", "poisson", "synchrony"])
def test_solves_easy_tasks_of_every_ensemble(ensemble):
    spikes, labels = task(1, ensemble=ensemble)
    model = Tempotron(learning_rate=5e-4, max_epochs=2000, random_state=0).fit(spikes, labels)
    assert model.converged_ and model.status_ == "solved"
    assert model.history_[-1] == 0 and (model.history_[:-1] > 0).all()
    assert model.n_epochs_ == len(model.history_)
    assert np.array_equal(model.predict(spikes), labels)
    assert model.score(spikes, labels) == 1


def test_synchronous_volleys_have_the_capacity_of_the_perceptron():
    """Solved below 2 N patterns and not above: timing carries nothing in this control."""
    below, above = task(2, 60, 1.4, "synchrony"), task(2, 60, 3.0, "synchrony")
    assert Tempotron(learning_rate=2e-4, max_epochs=3000, random_state=0).fit(*below).converged_
    failed = Tempotron(learning_rate=2e-4, max_epochs=3000, random_state=0).fit(*above)
    assert failed.status_ == "epoch cap" and failed.n_epochs_ == 3000


def test_timing_lifts_the_load_beyond_two():
    spikes, labels = task(3, 100, 2.2, duration=500.0)
    assert Tempotron(learning_rate=5e-4, max_epochs=3000, random_state=0).fit(spikes, labels).converged_


def test_one_epoch_is_the_rule_written_out():
    spikes, labels = task(4, n=20, alpha=2.0)
    model = Tempotron(learning_rate=0.01, momentum=0.9, max_epochs=1, init_scale=0.3, random_state=9)
    model.fit(spikes, labels)
    rng = np.random.default_rng(9)
    w, velocity = rng.normal(scale=0.3, size=20), np.zeros(20)
    order = rng.permutation(len(spikes))
    errors = 0
    for p in order:
        pattern = spikes[[p]]
        outcome = max_potential(w, pattern)
        if (outcome.v_max[0] >= 1) != (labels[p] > 0):
            t = outcome.t_max if outcome.v_max[0] > 0 else max_potential(np.ones(20), pattern).t_max
            velocity = labels[p] * 0.01 * psp(pattern, t)[0] + 0.9 * velocity
            w = w + velocity
            errors += 1
    assert errors > 3
    assert model.history_.tolist() == [errors]
    assert model.coef_ == pytest.approx(w, rel=1e-10, abs=1e-12)


def test_margin_holds_on_every_pattern_when_solved():
    spikes, labels = task(5)
    model = Tempotron(learning_rate=5e-4, margin=0.3, max_epochs=5000, random_state=0).fit(spikes, labels)
    assert model.converged_
    assert (labels * model.decision_function(spikes)).min() >= 0.3 - 1e-9
    plain = Tempotron(learning_rate=5e-4, max_epochs=5000, random_state=0).fit(spikes, labels)
    assert (labels * plain.decision_function(spikes)).min() < 0.3


def test_decisions_do_not_depend_on_the_unit_of_the_threshold():
    spikes, labels = task(6)
    unit = Tempotron(threshold=1.0, init_scale=1e-2, max_epochs=50, random_state=3).fit(spikes, labels)
    ten = Tempotron(threshold=10.0, init_scale=1e-1, max_epochs=50, random_state=3).fit(spikes, labels)
    assert ten.coef_ == pytest.approx(10 * unit.coef_, rel=1e-6)


def test_restarts_are_used_only_after_failure():
    spikes, labels = task(7, n=20, alpha=4.0)
    failed = Tempotron(max_epochs=20, restarts=2, random_state=0).fit(spikes, labels)
    assert not failed.converged_ and failed.n_epochs_ == 20
    easy = Tempotron(learning_rate=5e-4, max_epochs=2000, restarts=2, random_state=0).fit(*task(1))
    assert easy.converged_ and easy.restart_ == 0


def test_same_seed_same_weights():
    spikes, labels = task(8)
    a = Tempotron(max_epochs=20, random_state=1).fit(spikes, labels)
    b = clone(a).fit(spikes, labels)
    c = clone(a).set_params(random_state=2).fit(spikes, labels)
    assert np.array_equal(a.coef_, b.coef_) and not np.array_equal(a.coef_, c.coef_)


def test_stream_equals_one_batch_in_order():
    spikes, labels = task(9, n=30, alpha=2.0)
    whole, parts = (Tempotron(learning_rate=1e-3, random_state=0) for _ in range(2))
    for _ in range(3):
        whole.partial_fit(spikes, labels)
        parts.partial_fit(spikes[:30], labels[:30]).partial_fit(spikes[30:], labels[30:])
    assert np.array_equal(whole.history_, parts.history_.reshape(3, 2).sum(axis=1)) and whole.history_[0] > 0
    assert np.array_equal(whole.coef_, parts.coef_)


@pytest.mark.parametrize(
    ("name", "value"),
    [("threshold", 0), ("learning_rate", -1), ("learning_rate", "fast"), ("momentum", 1.0), ("margin", -0.1),
     ("max_epochs", 0), ("restarts", -1), ("init_scale", -1.0), ("learning_rate", np.inf), ("learning_rate", np.nan),
     ("learning_rate", None), ("momentum", np.nan), ("margin", np.nan), ("margin", 1.0), ("threshold", np.inf),
     ("threshold", "high"), ("max_epochs", 2.5), ("max_epochs", True), ("init_scale", np.inf), ("tau_m", np.nan)],
)  # fmt: skip
def test_bad_parameters_are_named(name, value):
    spikes, labels = task(1)
    with pytest.raises(ValueError, match=f"{name} is {value!r}"):
        Tempotron(**{name: value}).fit(spikes, labels)
    with pytest.raises(ValueError, match=f"{name} is {value!r}"):
        Tempotron(**{name: value}).partial_fit(spikes, labels)


def test_numpy_numbers_are_numbers():
    spikes, labels = task(1)
    Tempotron(learning_rate=np.float32(1e-3), max_epochs=np.int64(2), momentum=np.float64(0.5)).fit(spikes, labels)


def test_weights_that_overflow_are_refused():
    spikes, labels = task(1, alpha=4.0)
    model = Tempotron(learning_rate=1e307, max_epochs=20, random_state=0)
    with pytest.raises(ValueError, match="weights overflow"):
        model.fit(spikes, labels)
    with pytest.raises(ValueError, match="weights overflow"):
        for _ in range(20):
            model.partial_fit(spikes, labels)


@pytest.mark.parametrize("tau_m", [8.0, 8 * (1 + 1e-12), 8.01])
def test_learns_at_the_default_rate_with_nearly_equal_time_constants(tau_m):
    spikes, labels = task(1)
    model = Tempotron(tau_m, 8.0, max_epochs=3000, random_state=0).fit(spikes, labels)
    assert model.converged_ and np.array_equal(model.predict(spikes), labels)


def test_a_lone_volley_is_learnt_in_a_long_pattern():
    """Long after it the potential underflows, and a time there has no gradient."""
    spikes = SpikeBatch.from_patterns([(np.zeros(5), np.arange(5))], 5, 11_200.0)
    model = Tempotron(learning_rate=1e-2, random_state=0).fit(spikes, np.array([1]))
    assert model.converged_


@pytest.mark.parametrize(("bad", "message"), [(0, "multiclass: -1.0, 0.0, 1.0"), (np.nan, "pattern 2: label is nan")])
def test_bad_labels_are_named(bad, message):
    spikes, labels = task(1)
    labels = labels.astype(float)
    labels[2] = bad
    with pytest.raises(ValueError, match=message):
        Tempotron().fit(spikes, labels)
    with pytest.raises(ValueError, match=r"expected \(50,\)"):
        Tempotron().fit(spikes, labels[:-1])


def test_other_errors():
    spikes, labels = task(1)
    with pytest.raises(NotFittedError):
        Tempotron().predict(spikes)
    with pytest.raises(ValueError, match="tau_m > tau_s"):
        Tempotron(tau_m=3, tau_s=5).fit(spikes, labels)
    with pytest.raises(ValueError, match="shape"):
        Tempotron(max_epochs=1).fit(spikes, labels).predict(SpikeBatch.from_dense(np.ones((2, 3)), 10.0))


def test_bins_learn_the_perceptron_and_the_maximum():
    rng = np.random.default_rng(0)
    for k in (1, 10):
        patterns, labels = tasks.bin_patterns(k, 40, 40, rng), tasks.labels(40, rng)
        outcome = bins.train(patterns, labels, rng, rate=2e-4)
        assert outcome.converged and bins.solves(outcome.weights, patterns, labels)
    with pytest.raises(ValueError, match=r"expected \(P, K, N\)"):
        bins.train(patterns[0], labels, rng, rate=1e-4)
    for option in ({"rate": np.inf}, {"momentum": 1.0}, {"threshold": np.nan}, {"max_epochs": 0}, {"restarts": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(option))} is"):
            bins.train(patterns, labels, rng, **({"rate": 1e-4} | option))
