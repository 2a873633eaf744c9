"""Parameters of the T-SVM study, one model per step."""

from typing import Literal

from pydantic import Field

from tessera.common.params import Section

#: Methods that solve a robustness problem.
Method = Literal["tsvm", "one_sided", "dead_zone", "lp", "vertex", "least_squares", "perceptron"]
Noise = Literal["jitter", "synaptic", "membrane"]


class NeuronParams(Section):
    """The neuron and its margin, in all steps."""

    tau_m: float = Field(gt=0)
    """membrane time constant, ms; above tau_s"""
    tau_s: float = Field(gt=0)
    """synaptic time constant, ms"""
    tau_c: float = Field(gt=0)
    """precision scale of the margin, ms; the hold window is as long"""


class ReferenceProblem(Section):
    """A random problem whose margin is known from earlier measurements."""

    afferents: int = Field(gt=0)
    targets: int = Field(gt=0)
    """desired spikes"""
    seed: int = Field(ge=0)
    """of NumPy's default generator itself, so that the problem is the one whose margin is known"""


class ProblemsParams(Section):
    """Reference problems: certificates, soft margins and the online rule."""

    problems: dict[str, ReferenceProblem] = Field(min_length=1)
    shown: str
    """the problem whose potential is drawn and whose spikes are checked in Brian2"""
    penalties: list[float]
    """slack penalties C, in units of the hard problem's |w|^2"""
    online_steps: int = Field(gt=0)
    """steps of the online rule"""


class LoadParams(Section):
    """Patterns of 300 ms with more and more desired spikes."""

    afferents: int = Field(gt=0)
    targets: list[int] = Field(min_length=1)
    """desired spikes in a pattern"""
    replicates: int = Field(gt=1)
    """problems per number of targets"""
    penalty: float = Field(gt=0)
    """slack penalty C of the soft margin"""
    perceptron_steps: int = Field(gt=0)


class NoiseParams(Section):
    """How much noise weights tolerate, by method."""

    afferents: int = Field(gt=0)
    targets: list[int] = Field(min_length=1)
    """desired spikes; the problems run through them in turn"""
    problems: int = Field(gt=1)
    methods: list[Method] = Field(min_length=1)
    draws: int = Field(gt=1)
    """draws of noise at each level, the same for every method"""
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
    """Precision of the margin and hold window."""

    tau_cs: list[float] = Field(min_length=1)
    """ms"""
    holds: list[float] = Field(min_length=1)
    """in units of tau_c"""
    problems: int = Field(gt=0)
    """how many of the noise problems, from the first on"""
    jitter: float = Field(gt=0)
    """ms"""
    draws: int = Field(gt=1)


class BrianParams(Section):
    """Check of trained weights by another simulator."""

    steps: list[float] = Field(min_length=1)
    """time steps, ms"""
    draws: int = Field(gt=0)
    """draws of membrane noise"""
    membrane: float = Field(gt=0)
    """sd of the membrane noise, in thresholds"""


class KernelsParams(Section):
    """The exclusive-or over kernels."""

    afferents: int = Field(gt=0)
    """afferents of each of the four features"""
    volley: float = Field(gt=0)
    """ms, when the afferents of two features fire"""
    target: float = Field(gt=0)
    """ms, the desired spike"""
    duration: float = Field(gt=0)
    """ms"""
    scale: float = Field(gt=0)
    """factor on the traces, so that kernels are of order 1"""
    membrane: list[float]
    """sd of membrane noise, in thresholds"""
    jitter: list[float]
    """ms, standard deviation of each input spike's shift"""
    draws: int = Field(gt=1)
    dt: float = Field(gt=0)
    """ms, the grid on which noisy kernel neurons run"""


class RealParams(Section):
    """Telling two speakers apart, on the tempotron's inputs."""

    penalties: list[float] = Field(min_length=1)
    """slack penalties C, of which each margin classifier chooses by cross-validation on the training patterns"""
    folds: int = Field(gt=1)
    lead: float = Field(gt=0)
    """ms before the end of an utterance at which the cue comes"""
    window: float = Field(gt=0)
    """ms, a spike this near the end of the utterance is on time"""


class SvmParams(Section):
    """Settings of TemporalSVM that are tuned, all others being its defaults."""

    tau_c: float = Field(gt=0)
    """ms, how sharply in time the margin relaxes before a target"""
    hold: float = Field(ge=0)
    """ms after a target during which the margin is kept"""
    sigma: float = Field(gt=0)
    """width of the Gaussian kernel"""


class JitterParams(Section):
    """The tasks by which settings are tuned, and how they are scored."""

    afferents: int = Field(gt=0)
    targets: int = Field(gt=0)
    """desired spikes"""
    duration: float = Field(gt=0)
    """ms"""
    tasks: int = Field(gt=0)
    copies: int = Field(gt=0)
    """jittered trains per task"""
    jitter: float = Field(gt=0)
    """ms, standard deviation of each input spike's shift"""
    window: float = Field(gt=0)
    """ms, how far from its target a spike may be"""


class TsvmParams(Section):
    """The T-SVM study."""

    neuron: NeuronParams
    problems: ProblemsParams
    load: LoadParams
    noise: NoiseParams
    sweep: SweepParams
    brian: BrianParams
    kernels: KernelsParams
    real: RealParams


SECTIONS = {"tsvm": TsvmParams}
