"""Parameters of the search: limits of the children, and how they are chosen.

They are not in the folder of the search, so that stages that read parameters alone do not run again when it changes.
"""

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, model_validator

from tessera.common.params import Section

Solver = Literal["highs", "cbc"]
Method = Literal["quadratic", "mip", "greedy", "max_params", "homogeneous", "no_op_only", "stock", "random"]


class ModelLimits(Section):
    """Limits of a whole model: its blocks, embedding and head."""

    speedup: float | None = Field(None, gt=0, description="least throughput, in multiples of the parent's")
    throughput: float | None = Field(
        None, gt=0, description="least tokens per second of the target's workload, those of the prompts included"
    )
    memory: float | str | None = Field(
        None,
        description="most memory of the weights and of the batch's KV cache: MiB, or a percentage of the parent's such "
        "as 60%",
    )

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.speedup is None and self.throughput is None and self.memory is None:
            raise ValueError("no limit; expected a speedup, a throughput or a memory")
        return self


class SearchParams(Section):
    """The mixed-integer search, and the other ways to choose children."""

    objective: str = Field("metrics.kl_div", description="score whose sum over the layers is minimised")
    speedups: tuple[float, ...] = Field(
        min_length=1, description="block throughputs of the frontier, in multiples of the parent's"
    )
    child_speedup: float | None = Field(
        gt=0,
        description="block throughput of the children that are assembled and healed; null: the limits of child suffice",
    )
    child: ModelLimits | None = Field(None, description="limits that these children keep as whole models")
    methods: tuple[Method, ...] = Field(
        ("mip",),
        min_length=1,
        description="how the children are chosen; those of the first are healed in full and kept. quadratic: the "
        "program whose objective counts that exchanged attentions reinforce one another; stock: layers of one "
        "size, some of them dropped, which engines read as the parent's plain class",
    )
    cosines: tuple[NonNegativeFloat, ...] = Field(
        (0.0,),
        min_length=1,
        description="of quadratic: cosine between the changes that two exchanged attentions make to the parent's "
        "log-probabilities; with 0 it is mip. If there are several, the optima of each at every budget are run on "
        "validation text, a cosine is fitted to their KL, its optima are run too, and within each budget the child of "
        "least KL is taken; predictions are by the fitted one",
    )
    windows: int = Field(
        16,
        gt=0,
        description="windows, as long as those of the scores: of validation text, on which the optima of several "
        "cosines are run, and of test text, on which the frontier's children are",
    )
    at_most: dict[str, float | str] = Field(
        default_factory=dict,
        description="further budgets by key: a number, or a percentage of the parent's such as 80%",
    )
    at_least: dict[str, float | str] = Field(default_factory=dict, description="further lower limits, as at_most")
    solver: Solver = "highs"

    @model_validator(mode="after")
    def _some_budget(self) -> Self:
        if self.child_speedup is None and self.child is None:
            raise ValueError("child_speedup is null and there is no child: expected a limit for the children")
        if "quadratic" in self.methods and self.objective != "metrics.kl_div":
            raise ValueError(
                f"methods has quadratic, but objective = {self.objective}: interactions are those of metrics.kl_div"
            )
        return self
