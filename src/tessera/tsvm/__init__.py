"""Temporal support vector machine: spike times with the largest dynamical margin, certified in continuous time.

Our formulation of a dynamical margin, motivated by Rubin and Sompolinsky (2022, arXiv:2205.14544).
"""

from typing import TYPE_CHECKING

from tessera.common import lazy

if TYPE_CHECKING:
    from tessera.tsvm.certificate import Certificate as Certificate
    from tessera.tsvm.estimator import TemporalSVM as TemporalSVM
    from tessera.tsvm.kernels import Branches as Branches
    from tessera.tsvm.kernels import Gaussian as Gaussian
    from tessera.tsvm.kernels import Interaction as Interaction
    from tessera.tsvm.kernels import Polynomial as Polynomial

_KERNELS = ("Branches", "Gaussian", "Interaction", "Polynomial")

__getattr__, __dir__, __all__ = lazy.names(
    __name__, {"Certificate": "certificate", "TemporalSVM": "estimator"} | dict.fromkeys(_KERNELS, "kernels")
)
