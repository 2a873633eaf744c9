"""Parameters of the study whether summed scores and summed times predict children that are run."""

from pydantic import Field

from tessera.common.params import Section
from tessera.puzzle.params import OptimiserParams
from tessera.puzzle.search.draws import BaselineParams, DiverseParams, RandomParams


class CorrectionParams(Section):
    """Interactions of exchanged subblocks."""

    most: float = Field(gt=0, description="nats; children of a larger summed score are not fitted")
    speedups: tuple[float, ...] = Field(description="at which the optimum is searched again")
    windows: int = Field(ge=1, description="windows of the scores' text on which interactions are measured")


class TimeParams(Section):
    """Children that serve the workload of the first measured target."""

    children: int = Field(ge=1, description="evenly over the ranks of predicted time")
    repeats: int = Field(ge=1)


class ValidityParams(Section):
    """Predictions against children that were run."""

    windows: int = Field(ge=1, description="windows of test text, as long as those of the scores")
    speedups: tuple[float, ...] = Field(description="of the search's children, on every target")
    diverse: DiverseParams
    baselines: BaselineParams
    random: dict[str, RandomParams] = Field(description="groups of random children by name")
    healing: OptimiserParams = Field(description="fixed short healing of every child")
    composed: int = Field(
        ge=0, description="pairs of subblocks of the search's children that are scored as one, at most"
    )
    correction: CorrectionParams
    time: TimeParams
    bootstrap: int = Field(ge=100, description="draws of each interval")


SECTIONS = {"validity": ValidityParams}
