"""Balanced excitation and inhibition: theory, certified solvers, learning, spiking neurons, attractor networks.

Reference: R. Rubin, L. F. Abbott and H. Sompolinsky, Balanced excitation and inhibition are required for high-capacity,
noise-robust neuronal selectivity, PNAS 114, E9366 (2017), doi:10.1073/pnas.1705841114.
"""

from typing import TYPE_CHECKING

from tessera.common import lazy

if TYPE_CHECKING:
    from tessera.balanced.estimator import BalancedPerceptron as BalancedPerceptron
    from tessera.balanced.separability import feasibility as feasibility
    from tessera.balanced.solvers import max_kappa_in as max_kappa_in
    from tessera.balanced.solvers import max_kappa_out as max_kappa_out
    from tessera.balanced.theory import Afferents as Afferents
    from tessera.balanced.theory import critical_loads as critical_loads

__getattr__, __dir__, __all__ = lazy.names(
    __name__,
    {"BalancedPerceptron": "estimator", "feasibility": "separability", "max_kappa_in": "solvers"}
    | {"max_kappa_out": "solvers", "Afferents": "theory", "critical_loads": "theory"},
)
