"""The statistics of the claims, on data whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from tessera.balanced import experiments, finite_size, summaries
from tessera.balanced.params import AfferentParams, FeasibilityParams, MarginParams

AFFERENTS = AfferentParams(f_exc=0.8, p_out=0.1, cv_ratio=2**0.5, sd_ratio=2.0, cv_exc=1.0, sd_exc=1.0)
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
