"""Parameters of coupled distillation: pairs of a first search, trained together, and a second search."""

from typing import Annotated

from pydantic import Field

from tessera.common.params import Section
from tessera.puzzle.params import OptimiserParams


class CoupledParams(Section):
    """Which pairs are trained together, how, and how their children are compared."""

    jobs: int = Field(gt=0, description="jobs that share the layers with pairs, every jobs-th layer each")
    speedups: tuple[float, ...] = Field(min_length=1, description="of the first search's children, on every target")
    diverse: int = Field(ge=0, description="next-best children at each of them, whose pairs are trained as well")
    min_difference: int = Field(ge=1, description="layers in which each next-best child differs from all before it")
    ridges: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        min_length=1,
        description="of the refit, towards the decoupled weights, relative to the Gram matrix's mean diagonal; the best"
        " on held-out text is taken",
    )
    distillation: OptimiserParams = Field(description="of both subblocks of a pair, on the block library's text")
    windows: int = Field(ge=1, description="windows of test text, as long as those of the scores")
    healing: OptimiserParams = Field(description="equal healing of the children that are compared")


SECTIONS = {"coupled": CoupledParams}
