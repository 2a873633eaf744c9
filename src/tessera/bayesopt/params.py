"""The sections of params.yaml under bayesopt."""

from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from tessera.bayesopt.settings import Edges, Inference, Method, Settings, Transform
from tessera.bayesopt.space import Space, Variable
from tessera.common.params import Section

Plain = bool | int | float | str
#: Optimisers of other packages, which `peers` makes.
Peer = Literal["botorch", "botorch-filtered", "ax", "optuna-tpe", "optuna-gp"]
#: When evaluations run: see benchmark.Schedule.
Mode = Literal["async", "sync", "lag"]
#: A name of which files are named.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]


class SamplerParams(Section):
    """An optimiser of a benchmark."""

    sampler: Literal["tessera", "sobol"] | Peer = "tessera"
    """An Optimizer of this package, with the options below; quasi-random points; or another package's optimiser, as it
    comes, of which botorch-filtered alone is given a rule of edges."""
    method: Method = "bop"
    edges: Edges = "evidence"
    floor: bool = True
    inference: Inference = "map"
    transform: Transform = "none"

    def options(self) -> dict[str, Any]:
        """Options of an Optimizer."""
        return {name: getattr(self, name) for name in ("method", "edges", "floor", "inference", "transform")}


class ScheduleParams(Section):
    """The simulated clock of a benchmark."""

    workers: int = Field(ge=1)
    """Evaluations at a time."""
    spread: float = Field(ge=0)
    """Standard deviation of the logarithm of runtimes, whose median is 1."""


class LagParams(Section):
    """How long runs take, and what they find, against the lag."""

    sampler: str
    function: str
    lags: list[int] = Field(min_length=1)


class SuiteParams(Section):
    """One benchmark: every function by every sampler by every seed."""

    functions: list[Name] = Field(min_length=1)
    samplers: dict[Name, SamplerParams] = Field(min_length=1)
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
    """Seeds of samplers that are too dear for all of them: the first ones."""

    @field_validator("samplers", mode="before")
    @classmethod
    def _without_null(cls, samplers: Any) -> Any:
        """Leave out samplers that are null: an overlay takes one away so."""
        return {n: v for n, v in samplers.items() if v is not None} if isinstance(samplers, dict) else samplers

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key, name in (("reference", self.reference), ("lag.sampler", self.lag.sampler)):
            if name not in self.samplers:
                raise ValueError(f"{key} = {name!r} is no sampler; valid are {', '.join(self.samplers)}")
        if self.lag.function not in self.functions:
            raise ValueError(f"lag.function = {self.lag.function!r}; valid are {', '.join(self.functions)}")
        if min(self.lag.lags) < 1:
            raise ValueError(f"lag.lags = {self.lag.lags}; valid are integers from 1")
        for name, seeds in self.fewer_seeds.items():
            if name not in self.samplers:
                raise ValueError(f"fewer_seeds.{name} is of no sampler; valid are {', '.join(self.samplers)}")
            if not 1 <= seeds <= self.seeds:
                raise ValueError(f"fewer_seeds.{name} = {seeds}; valid are 1 to {self.seeds}, the seeds of the suite")
            if name in (self.reference, self.lag.sampler):
                raise ValueError(f"fewer_seeds.{name}: the reference and the lag's sampler are run with all seeds")
        return self


class ObjectiveParams(Section):
    """A stage whose metrics hold what is minimised: python -m tessera.stages.STAGE --params JSON ... --OUTPUT FILE."""

    stage: str = Field(pattern=r"^[a-z0-9_]+$")
    sections: list[str] = Field(default_factory=list)
    """Sections of params.yaml that the stage is given, in which the study's variables are set."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Laid over these sections: what is not as in params.yaml, or in no section."""
    arguments: dict[str, Plain | list[Plain]] = Field(default_factory=dict)
    """Other arguments of the stage; {scratch} is a directory that is removed afterwards."""
    inputs: list[str] = Field(default_factory=list)
    """Files that the stage reads, which other rules make."""
    output: str = "metrics"
    """Argument that takes the metrics' file."""
    metric: list[str | int] = Field(min_length=1)
    """Path of the value in the metrics' JSON."""
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
    """Other seeds with which the baseline and the best trial are run again at the end."""
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
            raise ValueError(f"confirm = {self.confirm}: valid is 0 for a study without a baseline")
        if self.confirm and "seed" not in self.objective.sections:
            raise ValueError(f"confirm = {self.confirm}: valid is 0 for an objective without seed among its sections")
        return self


class BayesoptParams(Section):
    """All of the study of Bayesian optimisation."""

    suites: dict[str, SuiteParams]
    studies: dict[str, StudyParams]


def defaults() -> dict[str, Any]:
    """Settings of proposals that params.yaml does not name, for the record."""
    return asdict(Settings())


SECTIONS = {"bayesopt": BayesoptParams}
