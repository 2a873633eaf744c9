"""Parameters of the tempotron study, one model a step."""

from typing import Literal

from pydantic import Field

from tessera.common.params import Section
from tessera.tempotron.tasks import Ensemble

#: Independent bins, or spikes of an ensemble.
Input = Literal["bins", "single", "poisson"]


class NeuronParams(Section):
    tau_m: float = Field(gt=0)
    """membrane time constant, ms; above tau_s"""
    tau_s: float = Field(gt=0)
    """synaptic time constant, ms"""


class TheoryParams(Section):
    ks: list[int] = Field(min_length=1)
    """numbers of independent times K >= 1 at which capacities are computed"""
    points: int = Field(gt=1)
    """Sobol points of the average over z0, a power of two"""
    planted_ks: list[int]
    """K of the curves of load against the overlap of typical solutions"""
    continuous_ks: list[float]
    """K >= 2 at which the capacity without overlap is that of the potential in continuous time"""
    traces: int = Field(gt=1)
    """samples of the potential at each of these"""
    dt: float = Field(gt=0)
    """step of their grid, ms"""


class MaximumParams(Section):
    ks: list[float] = Field(min_length=1)
    """numbers of independent times K; the Gumbel law needs K > 2 pi"""
    traces: int = Field(gt=1)
    """samples of the Gaussian process at each K"""
    dt: float = Field(gt=0)
    """step of its sampling, ms"""
    afferents: int = Field(gt=1)
    """of the neuron; the law is that of many"""
    patterns: int = Field(gt=1)
    """patterns of the neuron at each K and ensemble"""


class FindableParams(Section):
    ensemble: Ensemble
    afferents: list[int] = Field(min_length=1)
    ks: list[float] = Field(min_length=1)
    loads: list[float] = Field(min_length=2)
    """alpha = patterns / afferents"""
    replicates: int = Field(gt=1)
    """tasks at each K, size and load"""
    rate: float = Field(gt=0)
    """learning rate times the number of afferents, in thresholds"""
    momentum: float = Field(ge=0, lt=1)
    max_epochs: int = Field(gt=0)
    restarts: int = Field(ge=0)
    init_scale: float = Field(ge=0)
    """sd of the initial weights, in thresholds"""
    bootstrap: int = Field(gt=0)
    """resamples of the tasks for the interval of each findable load"""


class Problem(Section):
    """A size of the existence problem."""

    k: int = Field(ge=1)
    n: int = Field(ge=1)
    patterns: list[int] = Field(min_length=1)


class ExistenceParams(Section):
    problems: list[Problem]
    runs: int = Field(gt=0)
    """tasks at each size and number of patterns"""
    max_nodes: int = Field(gt=0)
    """nodes of the solver's search tree for one task; beyond them it is undecided"""


class ClustersParams(Section):
    inputs: list[Input]
    ks: list[int] = Field(min_length=1)
    """K; bins at K = 1 are the perceptron, the control that must be connected"""
    afferents: int = Field(gt=1)
    loads: list[float] = Field(min_length=1)
    tasks: int = Field(gt=0)
    solutions: int = Field(gt=1)
    """starts of the rule on each task"""
    rate: float = Field(gt=0)
    """learning rate times the number of afferents"""
    momentum: float = Field(ge=0, lt=1)
    max_epochs: int = Field(gt=0)
    chord_points: int = Field(gt=2)
    walk_steps: int = Field(ge=0)
    """great circles of the random walk from the first solution of each task"""


class AblationParams(Section):
    afferents: int = Field(gt=1)
    k: float = Field(gt=0)
    load: float = Field(gt=0)
    replicates: int = Field(gt=0)
    momenta: list[float] = Field(min_length=1)
    rates: list[float] = Field(min_length=1)
    """learning rates, in thresholds"""
    margins: list[float] = Field(min_length=1)
    """in thresholds; tried at the default rate and momentum, and on fresh patterns with jittered spikes"""
    jitter: float = Field(gt=0)
    """sd of the spikes' jitter at which margins are compared, ms"""
    max_epochs: int = Field(gt=0)


class BrianParams(Section):
    afferents: int = Field(gt=1)
    patterns: int = Field(gt=1)
    k: float = Field(gt=0)
    dt: float = Field(gt=0)
    """time step of Brian2, ms"""
    max_epochs: int = Field(gt=0)
    devices: list[Literal["runtime", "cpp_standalone"]] = Field(min_length=1)


class RealParams(Section):
    digit_pairs: list[tuple[int, int]]
    """digits told apart by a latency code, each pair as (null, target)"""
    mnist_pairs: list[tuple[int, int]]
    """the same of MNIST, at 784 pixels"""
    digit_duration: float = Field(gt=0)
    """ms over which the latency code spreads the grey levels"""
    folds: int = Field(gt=1)
    """grouped folds of the digits: contiguous blocks of their files, since writers follow one another"""
    speaker_pairs: list[tuple[int, int]]
    """speakers 1..9 of JapaneseVowels"""
    levels: int = Field(gt=0)
    """crossed levels of each of the 12 channels"""
    frame: float = Field(gt=0)
    """ms between two frames of the cepstra"""
    window: float = Field(gt=0)
    """ms of receptor activity that make one afferent"""
    receptor_patterns: int = Field(gt=1)
    rate: float = Field(gt=0)
    """learning rate times the number of afferents"""
    margin: float = Field(ge=0, lt=1)
    momentum: float = Field(ge=0, lt=1)
    max_epochs: int = Field(gt=0)


class TempotronParams(Section):
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
