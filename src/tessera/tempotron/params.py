"""Parameters of the tempotron study: the section `tempotron` of params.yaml, one model per step."""

from typing import Literal

from pydantic import Field

from tessera.common.params import Section
from tessera.tempotron.tasks import Ensemble

#: Independent bins, or spikes of an ensemble.
Input = Literal["bins", "single", "poisson"]


class NeuronParams(Section):
    """The neuron's PSP; a pattern of T ms holds K = T / sqrt(tau_m tau_s) independent times, 500 ms hold 66.7."""

    tau_m: float = Field(gt=0)
    """Membrane time constant, ms; above tau_s."""
    tau_s: float = Field(gt=0)
    """Synaptic time constant, ms."""


class TheoryParams(Section):
    """Replica capacities: of K independent bins, and of the potential in continuous time."""

    ks: list[int] = Field(min_length=1)
    """K >= 1 of the capacities of bins."""
    points: int = Field(gt=1)
    """Sobol points of the average over z0, a power of two."""
    planted_ks: list[int]
    """K of the curves of load against the overlap of typical solutions."""
    continuous_ks: list[float]
    """K >= 2 of the capacities in continuous time, without overlap between clusters."""
    traces: int = Field(gt=1)
    """Samples of the potential at each of these."""
    dt: float = Field(gt=0)
    """Time step of these samples, ms."""


class MaximumParams(Section):
    """Law of the largest potential of a pattern."""

    ks: list[float] = Field(min_length=1)
    """Numbers of independent times K; the Gumbel law needs K > 2 pi."""
    traces: int = Field(gt=1)
    """Samples of the Gaussian process at each K."""
    dt: float = Field(gt=0)
    """Time step of these samples, ms."""
    afferents: int = Field(gt=1)
    """Afferents of the neuron; the law is the limit of many."""
    patterns: int = Field(gt=1)
    """Patterns of the neuron at each K and ensemble."""


class FindableParams(Section):
    """What the learning rule solves within its budget: a lower bound on capacity."""

    ensemble: Ensemble
    """`single`: one spike per afferent, uniform in time; `poisson`; or `synchrony`, without temporal information."""
    afferents: list[int] = Field(min_length=1)
    """Sizes N."""
    ks: list[float] = Field(min_length=1)
    """Numbers of independent times K."""
    loads: list[float] = Field(min_length=2)
    """alpha = patterns / afferents."""
    replicates: int = Field(gt=1)
    """Tasks at each K, size and load."""
    rate: float = Field(gt=0)
    """Learning rate times the number of afferents, in thresholds."""
    momentum: float = Field(ge=0, lt=1)
    max_epochs: int = Field(gt=0)
    """Epochs of one start."""
    restarts: int = Field(ge=0)
    """Further starts after one that reached its last epoch."""
    init_scale: float = Field(ge=0)
    """Standard deviation of the initial weights, in thresholds."""
    bootstrap: int = Field(gt=0)
    """Resamples of the tasks for the interval of each findable load."""


class Problem(Section):
    """A size of the existence problem."""

    k: int = Field(ge=1)
    """Bins."""
    n: int = Field(ge=1)
    """Weights."""
    patterns: list[int] = Field(min_length=1)
    """Numbers of patterns."""


class ExistenceParams(Section):
    """Exact existence of solutions, by mixed-integer programming."""

    problems: list[Problem]
    runs: int = Field(gt=0)
    """Tasks at each size and number of patterns."""
    max_nodes: int = Field(gt=0)
    """Nodes of the solver's search tree for one task; a task that needs more is undecided."""


class ClustersParams(Section):
    """Overlaps, chords and random walks among the solutions of one task."""

    inputs: list[Input]
    ks: list[int] = Field(min_length=1)
    """K; bins at K = 1 are the perceptron, the control that must be connected."""
    afferents: int = Field(gt=1)
    loads: list[float] = Field(min_length=1)
    """alpha = patterns / afferents."""
    tasks: int = Field(gt=0)
    """Tasks at each input, K and load."""
    solutions: int = Field(gt=1)
    """Starts of the rule on each task."""
    rate: float = Field(gt=0)
    """Learning rate times the number of afferents, in thresholds."""
    momentum: float = Field(ge=0, lt=1)
    max_epochs: int = Field(gt=0)
    chord_points: int = Field(gt=2)
    """Points at which the accuracy on a chord is computed, both ends included."""
    walk_steps: int = Field(ge=0)
    """Great circles of the random walk from the first solution of each task."""


class AblationParams(Section):
    """Momentum, learning rate and margin, everything else equal."""

    afferents: int = Field(gt=1)
    k: float = Field(gt=0)
    load: float = Field(gt=0)
    """alpha = patterns / afferents."""
    replicates: int = Field(gt=0)
    """Tasks, the same for every setting."""
    momenta: list[float] = Field(min_length=1)
    rates: list[float] = Field(min_length=1)
    """Learning rates, in thresholds."""
    margins: list[float] = Field(min_length=1)
    """In thresholds; tried at the largest momentum and the middle rate."""
    jitter: float = Field(gt=0)
    """Standard deviation of the spikes' jitter, ms, under which margins are compared."""
    max_epochs: int = Field(gt=0)

    @property
    def compared(self) -> tuple[float, float]:
        """Momentum and learning rate at which margins are compared."""
        return max(self.momenta), sorted(self.rates)[len(self.rates) // 2]


class BrianParams(Section):
    """Forward check of trained weights by another simulator."""

    afferents: int = Field(gt=1)
    patterns: int = Field(gt=1)
    k: float = Field(gt=0)
    dt: float = Field(gt=0)
    """Time step of Brian2, ms."""
    max_epochs: int = Field(gt=0)
    devices: list[Literal["runtime", "cpp_standalone"]] = Field(min_length=1)


class RealParams(Section):
    """Digits, speech and recorded auditory receptors."""

    digit_pairs: list[tuple[int, int]]
    """Pairs of digits of 64 pixels, as (null, target)."""
    mnist_pairs: list[tuple[int, int]]
    """Pairs of digits of MNIST, of 784 pixels."""
    digit_duration: float = Field(gt=0)
    """T, ms, of the latency code t = T (1 - grey)."""
    folds: int = Field(gt=1)
    """Grouped folds of the digits: contiguous blocks of their files, since writers follow one another."""
    speaker_pairs: list[tuple[int, int]]
    """Pairs of the speakers 1..9 of JapaneseVowels, as (null, target)."""
    levels: int = Field(gt=0)
    """Crossed levels of each of the 12 channels."""
    frame: float = Field(gt=0)
    """Time between two frames of the cepstra, ms."""
    window: float = Field(gt=0)
    """Duration of receptor activity that makes one afferent, ms."""
    receptor_patterns: int = Field(gt=1)
    rate: float = Field(gt=0)
    """Learning rate times the number of afferents, in thresholds."""
    margin: float = Field(ge=0, lt=1)
    """In thresholds."""
    momentum: float = Field(ge=0, lt=1)
    max_epochs: int = Field(gt=0)


class RateParams(Section):
    """Tasks on which a learning rate and a momentum are tuned, and their values."""

    afferents: int = Field(gt=1)
    k: float = Field(gt=0)
    load: float = Field(gt=0)
    """alpha = patterns / afferents."""
    replicates: int = Field(gt=0)
    """Tasks, the same for every setting."""
    max_epochs: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    """In thresholds."""
    decay: float = Field(gt=0, le=1)
    """1 - momentum, the share of the velocity lost at each update; best searched on a logarithmic scale."""


class TempotronParams(Section):
    """The tempotron."""

    neuron: NeuronParams
    theory: TheoryParams
    maximum: MaximumParams
    findable: FindableParams
    existence: ExistenceParams
    clusters: ClustersParams
    ablation: AblationParams
    brian: BrianParams
    real: RealParams


SECTIONS = {"tempotron": TempotronParams}
