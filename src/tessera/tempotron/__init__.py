"""The tempotron: a neuron that decides by whether its potential crosses a threshold within a pattern of spikes.

References: R. Guetig and H. Sompolinsky, The tempotron, Nature Neuroscience 9, 420 (2006), doi:10.1038/nn1643.
R. Rubin, R. Monasson and H. Sompolinsky, Theory of spike timing-based neural classifiers, Physical Review Letters 105,
218102 (2010), doi:10.1103/PhysRevLett.105.218102.
"""

from typing import TYPE_CHECKING

from tessera.common import lazy

if TYPE_CHECKING:
    from tessera.tempotron.learn import Tempotron as Tempotron
    from tessera.tempotron.neuron import max_potential as max_potential
    from tessera.tempotron.theory import capacity as capacity

__getattr__, __dir__, __all__ = lazy.names(
    __name__, {"Tempotron": "learn", "capacity": "theory", "max_potential": "neuron"}
)
