"""Parameters of one library's children on several GPUs."""

from typing import Literal

from pydantic import Field, field_validator

from tessera.common.params import Section
from tessera.puzzle.costs.params import VALID, Workload

SYSTEMS = VALID["kernel-database"]["hardware"]


class GpusParams(Section):
    """GPUs of the kernel database, for which the same scores are searched."""

    hardware: tuple[str, ...] = Field(
        min_length=1, description="as in puzzle.costs.targets, in the order of the figure"
    )
    dtypes: tuple[Literal["bfloat16", "fp8"], ...] = Field(min_length=1)
    shapes: tuple[str, ...] = Field(
        description="shapes whose layers are priced as well as the parent's, such as llama-3.1-8b"
    )
    workload: Workload
    speedup: float = Field(gt=1, description="of the blocks")
    metric: str = Field(description="score to minimise (summed over layers)")
    cosine: float = Field(ge=0, description="of two exchanged attentions")

    @field_validator("hardware")
    @classmethod
    def _is_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in SYSTEMS:
                raise ValueError(f"{name!r} is no GPU of the kernel database; expected {', '.join(SYSTEMS)}")
        return value


SECTIONS = {"gpus": GpusParams}
