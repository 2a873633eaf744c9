"""Errors that may be undefined."""

import math

from tessera.common.intervals import known, plus_minus


def test_null_is_not_a_number() -> None:
    assert known(0.25) == 0.25 and math.isnan(known(None))


def test_texts() -> None:
    assert plus_minus(0.2821, 0.0119) == "0.282 ± 0.012"
    assert plus_minus(0.2821, 0.0119, "+.1f") == "+0.3 ± 0.0"
    assert plus_minus(-0.5, None, "+.2f") == "-0.50 ± n/a" == plus_minus(-0.5, math.nan, ".2f")
