"""Parameters of the search for structure and bits at once."""

from typing import Self

from pydantic import Field, model_validator

from tessera.common.params import Section
from tessera.puzzle.costs.params import CostTarget, Workload
from tessera.puzzle.serve.gguf_types import Dtype


class BitsParams(Section):
    """Every variant in several types of weights, chosen by one program under time and size."""

    workload: Workload = Field(description="of the times, in llama.cpp on this machine's CPU: one request at a time")
    threads: int | None = Field(ge=1, description="CPU threads; null for llama.cpp's own choice")
    types: tuple[Dtype, ...] = Field(
        min_length=1, description="types of matrices; speeds and sizes are relative to the parent in the first"
    )
    windows: int = Field(gt=0, description="windows of validation text that are scored, as long as those of the scores")
    jobs: int = Field(gt=0, description="jobs that share the layers to score")
    repeats: int = Field(ge=2, description="rounds of timing, of each type")
    cosine: float = Field(ge=0, description="of two exchanged attentions, in all programs")
    speeds: tuple[float, ...] = Field(min_length=1, description="speeds of whole models, multiples of the parent's")
    sizes: tuple[float, ...] = Field(min_length=1, description="sizes of files, shares of the parent's")
    test_windows: int = Field(gt=0, description="windows of test text on which the children are run")
    served: tuple[float, ...] = Field(description="those of `speeds` whose children are served and timed")
    rounds: int = Field(gt=0, description="requests of each served child")

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        self.costs(self.types[0])
        if missing := set(self.served) - set(self.speeds):
            raise ValueError(f"served has {min(missing):g}, which speeds has not; expected some of {self.speeds}")
        return self

    def costs(self, dtype: Dtype) -> CostTarget:
        """What is timed, in one type. Raises ValueError if llama.cpp cannot serve the workload."""
        about = {"source": "llama.cpp", "hardware": "cpu", "dtype": dtype, "workload": self.workload}
        return CostTarget.model_validate(about | {"threads": self.threads, "repeats": self.repeats})


SECTIONS = {"bits": BitsParams}
