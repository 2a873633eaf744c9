import numpy as np
import pytest
from scipy.special import ndtr

from tessera.neurons.psp import DoubleExponential
from tessera.tempotron import bins, solutions, tasks
from tessera.tempotron.learn import Tempotron
from tessera.tempotron.neuron import max_potential
from tessera.tempotron.theory import median_threshold


def solved(k, n=40, load=1.0, seed=0, count=1):
    rng = np.random.default_rng(seed)
    p = round(load * n)
    patterns, labels = tasks.bin_patterns(k, n, p, rng), tasks.labels(p, rng)
    runs = [bins.train(patterns, labels, rng, rate=2e-4) for _ in range(count)]
    assert all(run.converged for run in runs)
    return patterns, labels, np.array([run.weights for run in runs]), rng


def accuracy_of(patterns, labels):
    return lambda w: ((bins.max_projection(w, patterns) >= 1) == (labels > 0)).mean()


def test_overlaps():
    w = np.array([[1.0, 0, 0], [0, 2.0, 0], [3.0, 3.0, 0]])
    assert solutions.overlaps(w) == pytest.approx([0, 0.5**0.5, 0.5**0.5])
    shared = np.random.default_rng(0).normal(size=(2, 500)) + 5
    assert solutions.overlaps(shared)[0] > 0.9
    assert abs(solutions.overlaps(shared, remove_uniform=True)[0]) < 0.2


def test_solutions_of_the_perceptron_are_one_cluster():
    patterns, labels, found, _ = solved(1, count=4)
    number, worst = solutions.clusters(found, accuracy_of(patterns, labels))
    assert number == 1 and (worst == 1).all()
    assert solutions.overlaps(found).min() > 0.8


def test_solutions_of_ten_bins_are_apart():
    patterns, labels, found, _ = solved(10, load=1.5, count=4)
    number, worst = solutions.clusters(found, accuracy_of(patterns, labels))
    assert number == 4 and worst.max() < 1
    assert solutions.overlaps(found).mean() < 0.5


@pytest.mark.parametrize("k", [1, 5])
def test_exact_arc_equals_stepping(k):
    patterns, labels, found, rng = solved(k)
    w = found[0]
    exact = solutions.bins_arc(patterns, labels)
    stepped = solutions.stepped_arc(lambda u: bins.solves(u, patterns, labels), step=2e-4, bisections=12)
    for _ in range(5):
        v = rng.normal(size=len(w))
        v -= w * (v @ w) / (w @ w)
        v *= np.linalg.norm(w) / np.linalg.norm(v)
        assert exact(w, v) == pytest.approx(stepped(w, v), abs=1e-6)


def test_arc_of_spike_patterns_ends_where_the_first_decision_changes():
    rng = np.random.default_rng(4)
    spikes, labels = tasks.spike_patterns("single", 20, 20, 200.0, rng), tasks.labels(20, rng)
    model = Tempotron(random_state=0, init_scale=0.01).fit(spikes, labels)
    assert model.converged_
    w, kernel = model.coef_, DoubleExponential()
    v = rng.normal(size=20)
    v *= np.linalg.norm(w) / np.linalg.norm(v)
    left, right = solutions.spikes_arc(spikes, labels, kernel, step=1e-3)(w, v)
    for angle, inside in ((right, True), (right + 1e-5, False), (-left, True), (-left - 1e-5, False)):
        fires = max_potential(np.cos(angle) * w + np.sin(angle) * v, spikes, kernel).v_max >= 1
        assert np.array_equal(fires, labels > 0) is inside


def test_walk_never_leaves_the_solutions_nor_the_sphere():
    patterns, labels, found, rng = solved(10)
    path = solutions.walk(found[0], solutions.bins_arc(patterns, labels), 300, rng)
    assert np.array_equal(path[0], found[0])
    assert np.linalg.norm(path, axis=1) == pytest.approx(np.linalg.norm(found[0]), rel=1e-9)
    assert all(bins.solves(w, patterns, labels) for w in path[::10])
    assert solutions.overlaps(path[[0, -1]])[0] < 0.999


def test_walk_is_uniform_where_everything_is_allowed_and_in_a_cap():
    """In three dimensions the height of a uniform point of the sphere, or of a cap of it, is uniform (Archimedes)."""
    rng = np.random.default_rng(1)
    start = np.array([0.0, 0.0, 2.0])
    free = solutions.walk(start, lambda w, v: (np.pi, np.pi), 4000, rng)
    assert np.abs(free[50:].mean(axis=0)).max() < 0.12
    assert (free[50:, 2] ** 2).mean() == pytest.approx(4 / 3, abs=0.1)
    cap = np.array([[[0.0, 0.0, 1.0]]])  # one target: w_z >= 1
    path = solutions.walk(start, solutions.bins_arc(cap, np.array([1])), 4000, rng)
    assert path[:, 2].min() >= 1 - 1e-9
    assert path[50:, 2].mean() == pytest.approx(1.5, abs=0.03)
    assert path[50:, 2].var() == pytest.approx(1 / 12, abs=0.01)


def test_planted_load_of_the_perceptron_generalises_like_a_gibbs_student():
    """K = 1 is the teacher-student perceptron, whose error decays as 0.625/alpha (Gyorgyi and Tishby, 1990)."""
    q = 0.995
    assert float(solutions.planted_load(q, 1)) * np.arccos(q) / np.pi == pytest.approx(0.625, abs=0.01)


def test_planted_entropy_against_monte_carlo():
    k, q, theta = 6, 0.4, median_threshold(6)
    z = np.random.default_rng(3).normal(size=(400_000, k))
    null = ndtr((theta - np.sqrt(q) * z) / np.sqrt(1 - q)).prod(axis=1)
    sides = [(p * np.log(p)).mean() / p.mean() for p in (null, 1 - null)]
    assert solutions._entropy(q, k) == pytest.approx(np.mean(sides), abs=3e-3)


def test_planted_load_bends_back_only_at_large_k():
    q = np.arange(0.3, 0.96, 0.05)
    assert (np.diff(solutions.planted_load(q, 10)) > 0).all()
    bent = solutions.planted_load(q, 200)
    assert (np.diff(bent) < 0).any() and (np.diff(bent)[-2:] > 0).all()
    with pytest.raises(ValueError, match="between 0 and 1"):
        solutions.planted_load(np.array([0.5, 1.0]), 10)
