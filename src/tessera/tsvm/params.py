"""Parameters of the T-SVM study, one model a step."""

from pydantic import Field

from tessera.common.params import Section


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


class TsvmParams(Section):
    neuron: NeuronParams
    problems: ProblemsParams
    load: LoadParams
