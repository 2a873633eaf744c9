"""Parameters of the balanced-networks study: the section `balanced` of params.yaml. Symbols as in the paper."""

from typing import Annotated, Any

from pydantic import Field, field_validator

from tessera.balanced.theory import Afferents
from tessera.common.params import Section

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Size = Annotated[int, Field(ge=10)]


def without_null(values: Any) -> Any:
    """Leave out entries that are null, by which an overlay removes them."""
    return {key: value for key, value in values.items() if value is not None} if isinstance(values, dict) else values


class AfferentParams(Section):
    """Statistics of inputs and labels."""

    f_exc: Fraction
    """Fraction of excitatory afferents."""
    p_out: Fraction
    """Fraction of plus labels."""
    cv_ratio: Positive
    """phi = CV_E/CV_I."""
    sd_ratio: Positive
    """lambda = sigma_I/sigma_E."""
    cv_exc: Positive
    """CV of excitatory activity."""
    sd_exc: Positive
    """Standard deviation of excitatory activity."""

    def build(self) -> Afferents:
        """Return the theory's type."""
        return Afferents(**self.model_dump())


class TheoryParams(Section):
    """Curves of the theory."""

    p_out: Fraction
    """Fraction of plus labels of the capacity curves."""
    cv_ratios: list[Positive] = Field(min_length=1)
    """phi = CV_E/CV_I of the capacity curves."""
    fractions: int = Field(ge=2)
    """Number of steps in f_exc from 0 to 1."""
    loads: list[Positive] = Field(min_length=1)
    """Loads alpha = P/N of the margin curves."""
    sizes: list[Size]
    """N of the finite-size curves."""


class FeasibilityParams(Section):
    """Is a random task solvable, and by a balanced solution?"""

    f_exc: Fraction
    """Fraction of excitatory afferents."""
    p_out: Fraction
    """Fraction of plus labels."""
    cv_ratios: dict[str, Positive] = Field(min_length=1)
    """phi, by the name of the set."""
    sizes: list[Size] = Field(min_length=1)
    """N."""
    trials: Count
    """Random tasks at each load."""
    loads: list[Positive] = Field(min_length=2)
    """Loads in units of the theory's critical load."""
    fractions: list[Fraction]
    """f_exc at which the balanced critical load is measured, at the last of the sizes."""

    _without_null = field_validator("cv_ratios", mode="before")(without_null)


class MarginParams(Section):
    """Margins of optimal weights."""

    afferents: AfferentParams
    norm: Positive
    """Gamma, bound on the norm for max kappa_out."""
    size: Size
    """N of the margins over loads."""
    loads: list[Positive] = Field(min_length=1)
    """Loads alpha."""
    sizes: list[Size] = Field(min_length=2)
    """N of the scaling with size."""
    scaling_load: Positive
    """Load of the scaling with size, and of the weight histograms."""
    seeds: int = Field(ge=2)
    """Random tasks at each point."""


class NoiseParams(Section):
    """Noise during learning."""

    sigma_in: NotNegative
    """Deviation of the input noise, per unit of the weight norm."""
    sigma_out: NotNegative
    """Deviation of the output noise, in threshold units."""


class LearningParams(Section):
    """Online learning of binary patterns."""

    size: Size
    """N."""
    load: Positive
    """P/N."""
    f_exc: Fraction
    """Fraction of excitatory afferents."""
    p_out: Fraction
    """Fraction of plus labels."""
    rate: Positive
    """rho N, step of the rule times N."""
    decay: NotNegative
    """eps, decay of the weights at every pattern."""
    cycles: Count
    """Presentations of every pattern."""
    marks: Count
    """Number of points of the traces, equally spaced in log t."""
    seeds: Count
    """Random tasks."""
    noise: dict[str, NoiseParams] = Field(min_length=1)
    """Noise, by name: `nominal` is what the authors intended, `swapped` what their script ran."""

    _without_null = field_validator("noise", mode="before")(without_null)


class LifParams(Section):
    """Spiking readout."""

    size: Size
    """N."""
    load: Positive
    """P/N."""
    afferents: AfferentParams
    norm: Positive
    """Gamma, bound on the norm for max kappa_out."""
    rate: Positive
    """Input rate at activity 1, Hz."""
    window: Positive
    """T, ms."""
    dt: Positive
    """Time step, ms."""
    tau_m: Positive
    """Membrane time constant, ms."""
    tau_s: Positive
    """Synaptic time constant, ms."""
    noise_afferents: Count
    """Extra afferents that spike once each."""
    noise_scale: Positive
    """Their weights are noise_scale/sqrt(noise_afferents) N(0, 1)."""
    sets: Count
    """Random tasks."""
    draws: Count
    """Draws of the noise weights for each task."""


class AttractorParams(Section):
    """Networks with memories as fixed points."""

    sizes: list[Size] = Field(min_length=1)
    """N."""
    load: Positive
    """P/N."""
    f_exc: Fraction
    """Fraction of excitatory neurons."""
    q_exc: Fraction
    """Activity of excitatory neurons."""
    q_inh: Fraction
    """Activity of inhibitory neurons."""
    norm: Positive
    """Gamma, bound on the norm of a neuron's weights for max kappa_out."""
    networks: Count
    """Networks of each size."""
    memories: Count
    """Memories tested in each network."""
    cycles: Count
    """Cycles of the noise test."""
    tolerance: Fraction
    """Hamming distance, per neuron, at which a memory is lost to noise."""
    sigma: list[Positive] = Field(min_length=2)
    """Output noise in units of the network's mean kappa_out."""
    distances: list[Fraction] = Field(min_length=1)
    """Probabilities of a flip 1 -> 0 at the start of the basin test."""
    basin_cycles: Count
    """Cycles of the basin test."""
    basin_tolerance: Fraction
    """Hamming distance, per neuron, at which the basin test gives up."""
    basin_repeats: Count
    """Starts for each memory and distance."""


class BalancedParams(Section):
    """Balanced networks."""

    theory: TheoryParams
    feasibility: FeasibilityParams
    margins: MarginParams
    learning: LearningParams
    lif: LifParams
    attractor: AttractorParams


SECTIONS = {"balanced": BalancedParams}
