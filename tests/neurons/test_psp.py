import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from tessera.neurons.psp import DoubleExponential

taus = st.floats(0.01, 100)
excesses = st.sampled_from([0.0, 1e-16, 1e-12, 1e-9, 1e-6, 1e-3, 0.1, 1.0, 3.0, 1e3])


@settings(max_examples=60, deadline=None)
@given(taus, excesses)
def test_peak_area_and_energy_hold_for_every_ratio(tau, excess):
    kernel = DoubleExponential(tau * (1 + excess), tau)
    assert float(kernel(kernel.peak_time)) == pytest.approx(1, abs=1e-12)
    assert float(kernel.slope(kernel.peak_time)) * tau == pytest.approx(0, abs=1e-12)
    assert float(kernel.slope(0.0)) == pytest.approx(kernel.gain / kernel.tau_m)
    grid = kernel.tau_m * np.r_[0, np.geomspace(1e-7, 60, 4000)]
    assert integrate.trapezoid(kernel(grid), grid) == pytest.approx(kernel.area, rel=2e-4)
    assert integrate.trapezoid(kernel(grid) ** 2, grid) == pytest.approx(kernel.energy, rel=2e-4)
    assert float(kernel.autocovariance(0.0)) == 1


@pytest.mark.parametrize("excess", [0.0, 1e-12, 1e-9])
def test_equal_time_constants_are_the_alpha_function(excess):
    kernel, y = DoubleExponential(15 * (1 + excess), 15.0), np.linspace(0, 20, 101)
    assert kernel(15 * y) == pytest.approx(y * np.exp(1 - y), rel=1e-8, abs=1e-12)
    assert kernel.slope(15 * y) == pytest.approx((1 - y) * np.exp(1 - y) / 15, rel=1e-8, abs=1e-10)
    assert kernel.autocovariance(15 * y) == pytest.approx((1 + y) * np.exp(-y), rel=1e-8)
    with pytest.raises(ValueError, match="two separate exponentials need a ratio"):
        _ = kernel.v0


@settings(max_examples=60, deadline=None)
@given(taus, st.floats(1.1, 50))
def test_separate_exponentials_are_the_textbook_form(tau, eta):
    kernel, lag = DoubleExponential(eta * tau, tau), tau * np.linspace(0, 30, 50)
    expected = kernel.v0 * (np.exp(-lag / kernel.tau_m) - np.exp(-lag / kernel.tau_s))
    assert kernel.v0 == pytest.approx(eta ** (eta / (eta - 1)) / (eta - 1), rel=1e-12)
    assert kernel(lag) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("bad", [(3.0, 5.0), (5.0, 0.0), (5.0, -1.0), (np.inf, 1.0), (np.nan, 1.0), (1.0, np.nan)])
def test_bad_time_constants_are_named(bad):
    with pytest.raises(ValueError, match=f"tau_m is {bad[0]} and tau_s is {bad[1]} ms"):
        DoubleExponential(*bad)
