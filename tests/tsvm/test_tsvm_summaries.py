"""The study's numbers: predictions that know no more than the number of targets, ratios, rises with load and hold."""

import numpy as np
import pandas as pd
import pytest

from tessera.tsvm import summaries

BOOTSTRAP = summaries.Bootstrap(500, 1)


def ranked(by_margin: np.ndarray, critical: np.ndarray, targets: np.ndarray) -> pd.Series:
    table = {"method": "tsvm", "kind": "jitter", "problem": np.arange(len(targets)), "targets": targets}
    table |= {"critical": critical, "by_margin": by_margin, "by_survival": by_margin}
    ranks = summaries.rank_correlations(pd.DataFrame(table), BOOTSTRAP)
    return ranks.set_index("prediction").loc["by_margin"]


@pytest.fixture
def problems() -> tuple[np.random.Generator, np.ndarray]:
    return np.random.default_rng(0), np.tile([5, 10, 15, 20], 6)


def test_the_number_of_targets_alone_does_not_pass_for_a_prediction(problems):
    rng, targets = problems
    guess, measured = np.exp(0.2 * rng.normal(size=(2, 24)) - 0.15 * targets)
    row = ranked(guess, measured, targets)
    assert row["spearman"] > 0.8 and row["null"] > 0.8
    assert row["partial_low"] < 0 < row["partial_high"]


def test_a_prediction_that_knows_the_problem_is_seen_beyond_its_targets(problems):
    rng, targets = problems
    measured = np.exp(0.2 * rng.normal(size=24) - 0.15 * targets)
    row = ranked(0.3 * measured * np.exp(0.05 * rng.normal(size=24)), measured, targets)
    assert row["partial"] > 0.7 and row["partial_low"] > 0.3
    assert row["measured_over_predicted_low"] < 1 / 0.3 < row["measured_over_predicted_high"]


def test_methods_are_compared_by_geometric_means_of_ratios():
    levels = {"tsvm": [1.0, 4.0], "lp": [0.5, 2.0]}
    table = pd.DataFrame(
        [
            {"kind": "jitter", "method": method, "problem": k, "critical": level, "converged": k == 0, "steps": 7}
            for method, values in levels.items()
            for k, level in enumerate(values)
        ]
    )
    rows = summaries.by_method(table, BOOTSTRAP).set_index("method")
    assert rows["critical"].tolist() == pytest.approx([2.0, 1.0]) and rows["converged"].tolist() == [0.5, 0.5]
    assert rows.loc["lp", ["ratio", "ratio_low", "ratio_high"]].tolist() == pytest.approx([0.5] * 3)


def test_noise_metrics_are_of_one_method_on_one_problem():
    critical = pd.DataFrame([{"kind": "jitter", "critical": 0.7, "converged": True, "steps": 9}])
    curves = pd.DataFrame([{"kind": "jitter", "level": 0.05, "f1": 1.0}, {"kind": "jitter", "level": 2.0, "f1": 0.25}])
    expected = {"converged": 1.0, "steps": 9.0, "critical_jitter": 0.7, "f1_jitter_0.05": 1.0, "f1_jitter_2": 0.25}
    assert summaries.noise_metrics(curves, critical) == expected


def test_a_rise_of_the_feasible_fraction_is_counted_beyond_its_error():
    def rows(targets: int, feasible: int) -> list[dict]:
        status = ["certified"] * feasible + ["infeasible"] * (20 - feasible)
        scores = {"soft_f1": 1.0, "perceptron_f1": 0.5, "perceptron_converged": True}
        return [{"targets": targets, "load": targets / 10, "status": s, "low": 0.1} | scores for s in status]

    falling = summaries.loads(pd.DataFrame(rows(1, 20) + rows(2, 10)))
    rising = summaries.loads(pd.DataFrame(rows(1, 10) + rows(2, 20)))
    assert (summaries.feasible_rises(falling), summaries.feasible_rises(rising)) == (0, 1)
    metrics = summaries.load_metrics(pd.DataFrame(rows(2, 10)))
    assert (metrics["feasible"], metrics["status_infeasible"], metrics["margin_median"]) == (0.5, 0.5, 0.1)
    assert "margin_median" not in summaries.load_metrics(pd.DataFrame(rows(2, 0)))


@pytest.mark.parametrize(("low", "rises"), [(0.9, 0), (1.2, 1)])
def test_a_margin_that_rises_with_the_hold_window_is_counted(low, rises):
    table = pd.DataFrame({"problem": 0, "tau_c": 2.0, "hold": [0.0, 1.0], "low": [1.0, low], "up": [1.1, low]})
    table["f1"] = [0.5, np.nan]
    assert summaries.sweep_metrics(table) == {"rises_with_hold": rises, "feasible": 1.0, "f1_2_0": 0.5}


def test_kernels_without_a_margin_have_no_noisy_patterns():
    margins = pd.DataFrame({"kernel": ["linear", "a, b"], "status": ["infeasible", "certified"], "low": [0.0, 0.3]})
    noise = pd.DataFrame([{"kernel": "a, b", "kind": "jitter", "level": 0.5, "right": 0.75}])
    metrics = summaries.kernel_metrics(margins, noise)
    assert metrics["infeasible"] == 1 and metrics["a b: jitter 0.5"] == 0.75 and metrics["a b: margin"] == 0.3
    assert not any(name.startswith("linear: jitter") for name in metrics)
