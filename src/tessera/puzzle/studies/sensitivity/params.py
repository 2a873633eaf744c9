"""Parameters of the search's sensitivity to its scores."""

from pydantic import Field

from tessera.common.params import Section


class SensitivityParams(Section):
    """The search, repeated with scores drawn within their standard errors."""

    metric: str = Field(description="score to minimise (summed over layers); scores must have its standard error")
    speedups: tuple[float, ...] = Field(min_length=1, description="of the blocks")
    draws: int = Field(ge=2)


SECTIONS = {"sensitivity": SensitivityParams}
