"""The sections of params.yaml under bayesopt."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from tessera.bayesopt.settings import Edges, Inference, Method, Settings, Transform
from tessera.bayesopt.space import Space
from tessera.bayesopt.variables import Variable
from tessera.common import params
from tessera.common.params import Section

Plain = bool | int | float | str
#: Optimisers of other packages, which `peers` makes.
Peer = Literal["botorch", "botorch-filtered", "ax", "optuna-tpe", "optuna-gp"]
#: When evaluations run: see benchmark.Schedule.
Mode = Literal["async", "sync", "lag"]
#: A name that is part of file names.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]


class SamplerParams(Section):
    """An optimiser of a benchmark."""

    sampler: Literal["tessera", "sobol"] | Peer = "tessera"
    """An Optimizer of this package, with the options below; quasi-random points; or another package's optimiser with
    its default settings, of which only botorch-filtered takes an edge rule."""
    method: Method = "bop"
    """bop and fubar are the paper's methods; ucb is the null: a plain confidence bound that ignores pending points."""
    edges: Edges = "evidence"
    """Edge rule: none; hard, which is the paper's; or evidence, which is ours."""
    floor: bool = True
    """Whether a point that is known well enough is left alone."""
    inference: Inference = "map"
    transform: Transform = "none"
    """yeo-johnson draws in the tail of the values."""

    def options(self) -> dict[str, Any]:
        """Options of an Optimizer."""
        return {name: getattr(self, name) for name in ("method", "edges", "floor", "inference", "transform")}


class ScheduleParams(Section):
    """The simulated clock of a benchmark."""

    workers: int = Field(ge=1)
    """Evaluations at a time."""
    spread: float = Field(ge=0)
    """Standard deviation of the logarithm of runtimes, which are log-normal with median 1."""


class LagParams(Section):
    """Runs of one sampler on one function in batches and by lag: how long they take, and their regret."""

    sampler: str
    function: str
    lags: list[int] = Field(min_length=1)


class SuiteParams(Section):
    """One benchmark on functions with known minima: every sampler on every function with every seed."""

    functions: list[Name] = Field(min_length=1)
    """Names that functions.get knows."""
    samplers: dict[Name, SamplerParams] = Field(min_length=1)
    """By name; null takes one away, in a suite from those of `defaults`, in an overlay from those of params.yaml."""
    reference: str
    """Sampler that the others are compared with."""
    seeds: int = Field(ge=1)
    evaluations: int = Field(ge=2)
    noise: float = Field(ge=0)
    """Standard deviation of noise, in standard deviations of the function over its domain."""
    schedule: ScheduleParams
    lag: LagParams
    block: int = Field(ge=1)
    """Seeds of one job, which runs one sampler on one function."""
    fewer_seeds: dict[Name, int] = Field(default_factory=dict)
    """Number of seeds, the first ones, of samplers that are too slow for all of them."""

    @field_validator("samplers", mode="before")
    @classmethod
    def _without_null(cls, samplers: Any) -> Any:
        return {n: v for n, v in samplers.items() if v is not None} if isinstance(samplers, dict) else samplers

    @model_validator(mode="after")
    def _check(self) -> Self:
        samplers = ", ".join(self.samplers)
        for key, name in (("reference", self.reference), ("lag.sampler", self.lag.sampler)):
            if name not in self.samplers:
                raise ValueError(f"{key} = {name!r} is not a sampler; expected one of {samplers}")
        if self.lag.function not in self.functions:
            raise ValueError(f"lag.function = {self.lag.function!r}; expected one of {', '.join(self.functions)}")
        if min(self.lag.lags) < 1:
            raise ValueError(f"lag.lags = {self.lag.lags}; expected integers from 1")
        for name, seeds in self.fewer_seeds.items():
            if name not in self.samplers:
                raise ValueError(f"fewer_seeds.{name} is not a sampler; expected one of {samplers}")
            if not 1 <= seeds <= self.seeds:
                raise ValueError(f"fewer_seeds.{name} = {seeds}; expected 1 to {self.seeds}, the seeds of the suite")
            if name in (self.reference, self.lag.sampler):
                raise ValueError(f"fewer_seeds.{name}: the reference and the lag's sampler must be run with all seeds")
        return self


class ObjectiveParams(Section):
    """A stage that writes the value to minimise into a JSON file of metrics."""

    stage: str = Field(pattern=r"^[a-z0-9_]+$")
    """Name of the stage, such as tempotron_rate."""
    sections: list[str] = Field(default_factory=list)
    """Sections of params.yaml that the stage is given, in which the study's variables are set."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Laid over these sections: values that differ from params.yaml or are in no section."""
    arguments: dict[str, Plain | list[Plain]] = Field(default_factory=dict)
    """Other arguments of the stage; {scratch} is a directory that is removed afterwards."""
    inputs: list[str] = Field(default_factory=list)
    """Files that the stage reads and other rules make."""
    output: str = "metrics"
    """Argument that takes the path of the metrics file."""
    metric: list[str | int] = Field(min_length=1)
    """Keys and indices that lead to the value in the metrics."""
    timeout: float | None = Field(default=None, gt=0)
    """Seconds after which an evaluation counts as failed."""


class ProposalParams(Section):
    """What the proposals of a study depend on, apart from the trials before."""

    space: dict[str, Variable]
    """Variables by the dotted path at which the objective's params hold them."""
    baseline: dict[str, Plain] | None = None
    """The point of trial 0, such as the defaults."""
    seed: int = Field(ge=0)
    method: Method = "bop"
    edges: Edges = "evidence"
    inference: Inference = "map"
    transform: Transform = "none"

    def settings(self) -> Settings:
        """Options of the proposals."""
        return Settings(method=self.method, edges=self.edges, inference=self.inference, transform=self.transform)


class StudyParams(ProposalParams):
    """One study of the workflow: a static chain of proposals and evaluations."""

    objective: ObjectiveParams
    confirm: int = Field(default=0, ge=0)
    """Number of other seeds with which the baseline and the recommended trial are run again at the end."""
    budget: int = Field(ge=1)
    """Trials."""
    lag: int = Field(ge=1)
    """Proposal i knows the results up to i - lag, so that lag evaluations may run at a time."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        space = Space(self.space)
        if self.baseline is not None:
            try:
                space.to_cube(self.baseline)
            except ValueError as error:
                raise ValueError(f"baseline: {error}") from None
        if self.confirm and self.baseline is None:
            raise ValueError(f"confirm = {self.confirm}: must be 0 for a study without a baseline")
        if self.confirm and "seed" not in self.objective.sections:
            raise ValueError(f"confirm = {self.confirm}: must be 0 for an objective without seed among its sections")
        return self


class BayesoptParams(Section):
    """The whole study of Bayesian optimisation."""

    defaults: SuiteParams
    """A complete suite. Each of `suites` states how it differs, and is laid over it as an overlay over params.yaml."""
    suites: dict[str, SuiteParams]
    """Benchmarks by name: quick is part of `snakemake bayesopt`, full is `snakemake bayesopt_benchmark`, and the others
    are `snakemake bayesopt_variations`."""
    studies: dict[str, StudyParams]

    @field_validator("suites", mode="before")
    @classmethod
    def _over_defaults(cls, suites: Any, info: ValidationInfo) -> Any:
        """Each suite over the defaults; none if the defaults are wrong, for their faults are reported by themselves."""
        if "defaults" not in info.data:
            return {}
        if not isinstance(suites, dict):
            return suites
        shared = info.data["defaults"].model_dump(mode="json", exclude_unset=True)
        return {
            name: params.merge(shared, suite) if isinstance(suite, dict) else suite for name, suite in suites.items()
        }


SECTIONS = {"bayesopt": BayesoptParams}
