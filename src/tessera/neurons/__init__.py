"""What the studies of neurons share: spike trains, where they come from, the postsynaptic potential, figures of a fit.

Times are in ms. A `SpikeBatch` is the X of the estimators `tessera.tempotron.Tempotron` and `tessera.tsvm.TemporalSVM`.
"""

from typing import TYPE_CHECKING

from tessera.common import lazy

if TYPE_CHECKING:
    from tessera.neurons.figures import plot_convergence as plot_convergence
    from tessera.neurons.figures import plot_margin as plot_margin
    from tessera.neurons.figures import plot_voltage as plot_voltage
    from tessera.neurons.figures import plot_weights as plot_weights
    from tessera.neurons.psp import DoubleExponential as DoubleExponential
    from tessera.neurons.sources import from_brian2 as from_brian2
    from tessera.neurons.sources import from_events as from_events
    from tessera.neurons.sources import from_frame as from_frame
    from tessera.neurons.sources import from_lists as from_lists
    from tessera.neurons.sources import from_neo as from_neo
    from tessera.neurons.sources import from_nwb as from_nwb
    from tessera.neurons.sources import from_recording as from_recording
    from tessera.neurons.spikes import SpikeBatch as SpikeBatch

_SOURCES = ("brian2", "events", "frame", "lists", "neo", "nwb", "recording")
_FIGURES = ("convergence", "margin", "voltage", "weights")

__getattr__, __dir__, __all__ = lazy.names(
    __name__,
    {"DoubleExponential": "psp", "SpikeBatch": "spikes"}
    | {f"from_{source}": "sources" for source in _SOURCES}
    | {f"plot_{figure}": "figures" for figure in _FIGURES},
)
