"""What the T-SVM's report says of predictions that know no more than the number of targets."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from tessera.tsvm.report.results import Results


def ranked(by_margin: np.ndarray, critical: np.ndarray, targets: np.ndarray) -> pd.Series:
    table = {"method": "tsvm", "kind": "jitter", "problem": np.arange(len(targets)), "targets": targets}
    table |= {"critical": critical, "by_margin": by_margin, "by_survival": by_margin}
    empty = dict.fromkeys(field.name for field in fields(Results))
    found = Results(**empty | {"critical": pd.DataFrame(table), "bootstrap": (500, 1)}).rank_correlations()
    return found.set_index("prediction").loc["by_margin"]


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
