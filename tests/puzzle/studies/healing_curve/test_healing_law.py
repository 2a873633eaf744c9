"""The law of KL by tokens: what is fitted, against laws that are known and an independent least squares."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from tessera.puzzle.studies.healing_curve.law import BETAS, Law, fit

TOKENS = 5120 * 2.0 ** np.arange(7)


@given(st.floats(0.0, 0.5), st.floats(1e-3, 10.0), st.integers(0, len(BETAS) - 1))
@settings(max_examples=60, deadline=None)
def test_a_law_of_the_family_is_found_again(floor, share, index):
    exponent = BETAS[index]
    law = Law(np.array(floor), np.array(share * TOKENS[0] ** exponent), np.array(exponent))
    again = fit(TOKENS, law.kl(TOKENS))
    assert again.kl(TOKENS) == pytest.approx(law.kl(TOKENS), rel=1e-6)


@given(st.lists(st.floats(0.01, 2.0), min_size=4, max_size=7))
@settings(max_examples=60, deadline=None)
def test_no_exponent_and_no_other_law_fits_better(kl):
    y, tokens = np.array(kl), TOKENS[: len(kl)]
    law = fit(tokens, y)
    assert law.floor >= 0 and law.scale >= 0
    error = float(((1 - law.kl(tokens) / y) ** 2).sum())
    best = min(nnls(np.stack([1 / y, tokens**-beta / y], 1), np.ones(len(y)))[1] ** 2 for beta in BETAS)
    assert error == pytest.approx(best, rel=1e-5, abs=1e-10)


def test_several_fits_at_once_are_those_of_each():
    rows = np.random.default_rng(1).uniform(0.1, 1.0, (5, 7))
    together = fit(TOKENS, rows)
    for i, row in enumerate(rows):
        alone = fit(TOKENS, row)
        assert [together.floor[i], together.scale[i], together.exponent[i]] == pytest.approx(
            [float(alone.floor), float(alone.scale), float(alone.exponent)]
        )


def test_tokens_for_a_kl():
    law = Law(np.array([0.05, 0.2]), np.array([10.0, 10.0]), np.array([0.5, 0.5]))
    needed = law.tokens(0.1)
    assert needed[0] == pytest.approx((10 / 0.05) ** 2) and np.isinf(needed[1])
    assert law.kl(needed[0])[0] == pytest.approx(0.1)
