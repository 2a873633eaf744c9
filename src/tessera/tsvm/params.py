"""Parameters of the T-SVM study, one model a step."""

from typing import Literal

from pydantic import Field

from tessera.common.params import Section

#: What a robustness problem is solved by.
Method = Literal["tsvm", "one_sided", "dead_zone", "lp", "vertex", "least_squares", "perceptron"]
Noise = Literal["jitter", "synaptic", "membrane"]


class NeuronParams(Section):
    tau_m: float = Field(gt=0)
    """membrane time constant, ms; above tau_s"""
    tau_s: float = Field(gt=0)
    """synaptic time constant, ms"""
    tau_c: float = Field(gt=0)
    """precision scale of the margin, ms; the hold window is as long"""


class ReferenceProblem(Section):
    afferents: int = Field(gt=0)
    targets: int = Field(gt=0)
    """desired spikes"""
    seed: int = Field(ge=0)
    """of NumPy's default generator itself, so that the problem is that of the reference margins"""


class ProblemsParams(Section):
    problems: dict[str, ReferenceProblem] = Field(min_length=1)
    shown: str
    """the problem whose potential is drawn and whose spikes are checked in Brian2"""
    penalties: list[float]
    """slack penalties C, in units of the hard problem's |w|^2"""
    online_steps: int = Field(gt=0)
    """of the online rule"""


class LoadParams(Section):
    afferents: int = Field(gt=0)
    targets: list[int] = Field(min_length=1)
    """desired spikes in a pattern"""
    replicates: int = Field(gt=1)
    """problems at each"""
    penalty: float = Field(gt=0)
    """slack penalty C of the soft margin"""
    perceptron_steps: int = Field(gt=0)


class NoiseParams(Section):
    afferents: int = Field(gt=0)
    targets: list[int] = Field(min_length=1)
    """desired spikes; the problems run through them in turn"""
    problems: int = Field(gt=1)
    methods: list[Method] = Field(min_length=1)
    draws: int = Field(gt=1)
    """of noise at each level, the same for every method"""
    levels: dict[Noise, list[float]]
    """jitter in ms, synaptic in units of each weight, membrane in units of the threshold"""
    window: float = Field(gt=0)
    """ms, a spike this near a target is a hit"""
    validation: int = Field(gt=1)
    """draws of noise by which least squares chooses ridge, weight and threshold"""
    perceptron_steps: int = Field(gt=0)
    bootstrap: int = Field(gt=0)
    """resamples of the problems for intervals"""


class SweepParams(Section):
    tau_cs: list[float] = Field(min_length=1)
    """ms"""
    holds: list[float] = Field(min_length=1)
    """in units of tau_c"""
    problems: int = Field(gt=0)
    """the first of the noise problems"""
    jitter: float = Field(gt=0)
    """ms"""
    draws: int = Field(gt=1)


class BrianParams(Section):
    steps: list[float] = Field(min_length=1)
    """time steps, ms"""
    draws: int = Field(gt=0)
    """of membrane noise"""
    membrane: float = Field(gt=0)
    """sd of the membrane noise, in thresholds"""


class KernelsParams(Section):
    afferents: int = Field(gt=0)
    """of each of the four features"""
    volley: float = Field(gt=0)
    """ms"""
    target: float = Field(gt=0)
    """ms"""
    duration: float = Field(gt=0)
    """ms"""
    scale: float = Field(gt=0)
    """of the traces"""
    membrane: list[float]
    """sd of membrane noise, in thresholds"""
    jitter: list[float]
    """ms"""
    draws: int = Field(gt=1)
    dt: float = Field(gt=0)
    """ms, the grid on which noisy kernel neurons run"""


class RealParams(Section):
    penalties: list[float] = Field(min_length=1)
    """slack penalties C, of which each margin classifier chooses by cross-validation on the training patterns"""
    folds: int = Field(gt=1)
    lead: float = Field(gt=0)
    """ms before the end of an utterance at which the cue comes"""
    window: float = Field(gt=0)
    """ms, a spike this near the end of the utterance is on time"""


class TsvmParams(Section):
    neuron: NeuronParams
    problems: ProblemsParams
    load: LoadParams
    noise: NoiseParams
    sweep: SweepParams
    brian: BrianParams
    kernels: KernelsParams
    real: RealParams


SECTIONS = {"tsvm": TsvmParams}
