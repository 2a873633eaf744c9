"""Temporal support vector machine: spike times with the largest dynamical margin, certified in continuous time.

Our formulation of a dynamical margin, motivated by Rubin and Sompolinsky (2022, arXiv:2205.14544).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tessera.tsvm.estimator import TemporalSVM

__all__ = ["TemporalSVM"]


def __getattr__(name: str) -> Any:
    """Load the estimator when it is first asked for: reading parameters does not take Numba."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tessera.tsvm import estimator

    return getattr(estimator, name)
