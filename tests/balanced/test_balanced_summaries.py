"""The statistics of the claims, on data whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tessera.balanced import experiments, finite_size, summaries
from tessera.balanced.params import AfferentParams, AttractorParams, FeasibilityParams, LifParams, MarginParams

AFFERENTS = AfferentParams(f_exc=0.8, p_out=0.1, cv_ratio=2**0.5, sd_ratio=2.0, cv_exc=1.0, sd_exc=1.0)
SIGMA = [0.05, 0.08, 0.11, 0.2, 0.4, 0.7, 0.9, 1.1, 1.5, 3.0]
MARGINS = MarginParams(
    afferents=AFFERENTS, norm=1.0, size=100, loads=[0.5, 1.0], sizes=[100, 400], scaling_load=1.0, seeds=2
)


def test_scaling_fit_returns_the_law_that_made_the_data():
    rng = np.random.default_rng(0)
    rows = []
    for n, alpha in ((100, 0.5), (100, 1.0), (400, 1.0)):
        predicted = summaries.predicted_margins(MARGINS, n, alpha)
        for trial in range(200):
            for objective, solution in predicted.items():
                inverse = (1 + 0.01 * rng.normal()) / solution.kappa_out
                row = {"n": n, "alpha": alpha, "trial": trial, "objective": objective, "gap": 1e-9}
                row |= {"kappa_in": solution.kappa_in, "kappa_out": 1 / inverse, "norm": solution.norm}
                silent = [law.silent for law in finite_size.weight_laws(solution, AFFERENTS.build(), n)]
                row |= {"imbalance": 0.5 / np.sqrt(n), "silent_exc": silent[0], "silent_inh": silent[1]}
                rows.append(row)
    found = summaries.margin_metrics(pd.DataFrame(rows), MARGINS)
    assert found["scaling.slope"] == pytest.approx(found["scaling.slope_theory"], rel=0.01)
    assert abs(found["scaling.slope_z"]) < 4 and abs(found["scaling.intercept_z"]) < 4
    assert found["scaling.imbalance.exponent"] == pytest.approx(-0.5)
    assert found["kappa_out.alpha_1.ratio"] == pytest.approx(1, rel=0.01)
    assert found["silent.kappa_out.exc.difference"] == pytest.approx(0, abs=1e-12)


def test_metrics_that_are_not_finite_are_left_out():
    assert summaries.finite({"a": float("nan"), "b": np.float64(1.0), "c": np.inf}) == {"b": 1.0}


def test_feasibility_rows_do_not_depend_on_the_other_cells():
    p = FeasibilityParams(
        f_exc=0.8, p_out=0.1, cv_ratios={"equal": 1.0}, sizes=[40], trials=3, loads=[0.4, 1.6], fractions=[]
    )
    rows = experiments.feasibility(p, 1.0, seed=1)
    alone = experiments.feasibility(p.model_copy(update={"loads": [1.6]}), 1.0, seed=1)
    assert [row for row in rows if row["ratio"] == 1.6] == alone
    assert [row["solved"] for row in rows if row["ratio"] == 0.4] == [3, 3]
    assert all(row["solved"] < 3 for row in rows if row["ratio"] == 1.6)


def test_the_curve_shown_has_the_area_that_is_told():
    afferents = AFFERENTS.model_copy(update={"cv_ratio": 2**0.5})
    p = LifParams(
        size=60, load=1.0, afferents=afferents, norm=1.5, rate=30.0, window=100.0, dt=0.5, tau_m=30.0, tau_s=10.0,
        noise_afferents=500, noise_scale=2.0, sets=2, draws=3,
    )  # fmt: skip
    found = experiments.spiking(p, seed=1)
    numbers = summaries.spiking_metrics(found)
    for name, curve in found["roc"].items():
        place = name.replace("/", ".")
        assert np.trapezoid(curve["hits"], curve["alarms"]) == pytest.approx(numbers[f"{place}.auc"], abs=2e-3)
        assert numbers[f"{place}.auc_low"] <= numbers[f"{place}.auc"] <= numbers[f"{place}.auc_high"]
    lost = numbers["kappa_in.quiet.auc"] - numbers["kappa_in.noisy.auc"]
    assert numbers["kappa_in.auc_lost"] == pytest.approx(lost)


def test_ratios_of_networks_have_intervals_over_networks():
    rows = []
    for network, scale in enumerate((0.9, 1.0, 1.15)):
        for objective, half in (("kappa_in", 0.1), ("kappa_out", 1.0)):
            stable = [round(100 / (1 + (s / (half * scale)) ** 8)) for s in SIGMA]
            row = {"network": network, "objective": objective, "kappa": 1.0, "gap": 0.0, "fixed": 1.0, "norm": 1.0}
            row |= {"imbalance": 0.0, "stable": stable, "stable_trials": 100}
            rows.append(row | {"recovered": [60, 50] if half == 0.1 else [40, 30], "recovered_trials": 100})
    p = AttractorParams.model_construct(sigma=SIGMA, distances=[0.1, 0.2])
    found = summaries.attractor_metrics(rows, p)
    assert found["sigma_half_ratio"] == pytest.approx(10, rel=0.05)
    assert found["sigma_half_ratio_low"] < found["sigma_half_ratio"] < found["sigma_half_ratio_high"]
    assert found["recovery_difference"] == pytest.approx(0.2)
    assert found["recovery_difference_low"] == pytest.approx(0.2)
    single = summaries.attractor_metrics([row for row in rows if row["network"] == 0], p)
    assert "sigma_half_ratio_low" not in single


def test_kolmogorov_distance_is_that_of_scipy_where_there_is_no_atom():
    values = np.random.default_rng(0).exponential(size=500)
    expected = stats.kstest(values, stats.expon.cdf).statistic
    assert summaries.kolmogorov_distance(values, stats.expon.cdf) == pytest.approx(expected, rel=1e-12)


def test_kolmogorov_distance_counts_the_atom():
    values = np.r_[np.zeros(300), np.abs(np.random.default_rng(1).normal(size=700))]
    law = finite_size.WeightLaw(scale=1.0, shift=0.0)  # half silent, then half a Gaussian
    assert 0.2 <= summaries.kolmogorov_distance(values, law.cdf) < 0.22
    with pytest.raises(ValueError, match=">= 0"):
        summaries.kolmogorov_distance([-1.0], law.cdf)
