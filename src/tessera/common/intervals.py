"""Errors that may be undefined, as that of a single document is: null in JSON, NaN in tables, n/a in texts."""

import math


def known(error: float | None) -> float:
    """An error as it is read from JSON; NaN for null."""
    return math.nan if error is None else error


def plus_minus(value: float, error: float | None, spec: str = ".3f") -> str:
    """`0.282 ± 0.012`, both in the same format; n/a for an error that is undefined."""
    known_error = "n/a" if error is None or math.isnan(error) else format(error, spec.lstrip("+"))
    return f"{value:{spec}} ± {known_error}"
