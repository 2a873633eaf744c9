import numpy as np
import pytest
from scipy import integrate
from scipy.special import log_ndtr, ndtr

from tessera.neurons.psp import DoubleExponential
from tessera.tempotron import maximum, tasks, theory
from tessera.tempotron.neuron import max_potential

#: K: 1RSB, its tolerance, theta*, x*, q0*, 1RSB at q0 = 0, RS (source: independent computation of the same formulas).
GOLDEN = {
    2: (2.6550, 0.001, 0.560, 9.85, 0.707, 2.8153, 2.8630),
    3: (2.9847, 0.001, 0.829, 13.0, 0.641, 3.1820, 3.4616),
    10: (3.797, 0.01, 1.490, 24.8, 0.495, 3.9302, 5.5688),
    20: (4.157, 0.01, 1.809, 33.4, 0.409, 4.2348, 6.9435),
    100: (4.741, 0.01, 2.441, 62, 0.175, 4.7499, 10.3738),
    200: (4.915, 0.01, 2.679, 79, 0.085, 4.9175, 11.9039),
}


@pytest.mark.parametrize("k", GOLDEN)
def test_golden_table(k):
    alpha, tolerance, theta, x, q0, no_overlap, rs = GOLDEN[k]
    found = theory.one_step(k)
    assert found.alpha == pytest.approx(alpha, abs=tolerance)
    assert found.theta == pytest.approx(theta, abs=0.01)
    assert found.x == pytest.approx(x, rel=0.06)
    assert found.q0 == pytest.approx(q0, abs=0.03)
    assert theory.capacity(k, "q0=0") == pytest.approx(no_overlap, abs=0.001)
    assert theory.capacity(k, "rs") == pytest.approx(rs, abs=0.001)


def test_the_perceptron_is_exactly_two():
    assert theory.capacity(1) == pytest.approx(2, abs=1e-9)
    assert theory.capacity(1, "rs") == pytest.approx(2, abs=1e-9)


def test_the_median_threshold_of_very_many_bins():
    assert theory.median_threshold(1) == pytest.approx(0, abs=1e-15)
    for k in (1e6, 1e12, 1e18, 1e30):
        assert -k * np.expm1(log_ndtr(theory.median_threshold(k))) == pytest.approx(np.log(2), rel=1e-6)


def test_bounds_between_the_approximations():
    for k in (2, 10):
        one_step = theory.capacity(k)
        assert one_step < theory.capacity(k, "q0=0") < theory.capacity(k, "rs")
        assert one_step * np.log(2) <= 1 + np.log(one_step) + np.log(k)  # cell counting


def test_antithetic_sobol_average_is_stable():
    assert theory.one_step(10, seed=1).alpha == pytest.approx(theory.one_step(10, seed=2).alpha, abs=0.006)


def test_rs_integral_against_quadrature():
    k, theta = 7, 1.2
    density = lambda m: k * ndtr(m) ** (k - 1) * np.exp(-(m**2) / 2) / np.sqrt(2 * np.pi)  # noqa: E731
    target = integrate.quad(lambda m: (theta - m) ** 2 * density(m), -9, theta)[0]
    null = k * integrate.quad(lambda z: (z - theta) ** 2 * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), theta, 12)[0]
    best = theory.replica_symmetric(k)
    assert 2 / (target + null) <= best.alpha + 1e-9
    assert best.alpha == pytest.approx(2 / (target + null), rel=0.2)


def test_leading_order_stays_below_two_at_any_practical_k():
    assert theory.capacity(100, "leading") == pytest.approx(1.10, abs=0.005)
    assert theory.capacity(8.8e6, "leading") < 2 < theory.capacity(9.0e6, "leading")


@pytest.mark.parametrize(
    ("k", "kind"),
    [
        (2.5, "1rsb"),
        (np.nan, "1rsb"),
        (np.inf, "1rsb"),
        (0.5, "rs"),
        (np.inf, "rs"),
        (0.5, "q0=0"),
        (1, "leading"),
        (np.nan, "leading"),
        (5, "magic"),
    ],
)
def test_bad_k_is_refused(k, kind):
    with pytest.raises(ValueError, match=r"K is|approximation is"):
        theory.capacity(k, kind)


@pytest.mark.parametrize(("k", "median"), [(20, 1.684), (66.7, 2.272), (200, 2.719)])
def test_maximum_of_the_process_follows_rice(k, median):
    samples = maximum.process_maxima(k, 4000, np.random.default_rng(11))
    assert np.median(samples) == pytest.approx(median, abs=0.04)
    assert np.median(samples) == pytest.approx(maximum.rice_median(k), abs=0.08)
    assert maximum.sup_distance(samples, "rice", k) <= 0.08
    assert maximum.sup_distance(samples, "gumbel_iid", k) > maximum.sup_distance(samples, "rice", k)


@pytest.mark.parametrize("ensemble", ["poisson", "single"])
def test_maximum_of_the_neuron_follows_the_process(ensemble):
    kernel = DoubleExponential()
    rng = np.random.default_rng(12)
    duration = tasks.duration(66.7, kernel)
    weights = rng.normal(size=1000)
    weights -= weights.mean()
    v = max_potential(weights, tasks.spike_patterns(ensemble, 1000, 1500, duration, rng)).v_max
    sigma = np.linalg.norm(weights) * np.sqrt(kernel.energy / duration)
    assert np.median(v) / sigma == pytest.approx({"poisson": 2.265, "single": 2.249}[ensemble], abs=0.05)


def test_laws_are_distribution_functions():
    h = np.linspace(-3, 9, 400)
    for name in maximum.LAWS:
        p = maximum.law(name, h, 50)
        assert (np.diff(p) >= 0).all() and p[0] < 1e-3 and p[-1] > 0.999
    assert maximum.law("rice", maximum.rice_median(50), 50) == pytest.approx(0.5, abs=1e-12)
    assert maximum.effective_times(500, DoubleExponential()) == pytest.approx(66.67, abs=0.01)
    with pytest.raises(ValueError, match="law is"):
        maximum.law("normal", h, 50)
    with pytest.raises(ValueError, match="K > 2 pi"):
        maximum.law("gumbel", h, 5)


def test_sup_distance_of_exact_samples_is_small():
    samples = np.random.default_rng(0).normal(size=(5000, 8)).max(axis=1)
    assert maximum.sup_distance(samples, "iid", 8) < 0.03
    assert maximum.sup_distance(samples + 0.5, "iid", 8) > 0.2
