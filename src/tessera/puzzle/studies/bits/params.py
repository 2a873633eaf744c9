"""Parameters of the search for structure and bits at once."""

from pydantic import Field, model_validator

from tessera.common.params import Section
from tessera.puzzle.serve.gguf_types import Dtype


class BitsParams(Section):
    """Every variant in several types of weights, chosen by one program under time and size."""

    target: str = Field(description="cost target of llama.cpp whose workload and threads are those of the times")
    types: tuple[Dtype, ...] = Field(
        min_length=1, description="types of matrices; speeds and sizes are relative to the parent in the first"
    )
    windows: int = Field(gt=0, description="windows of validation text that are scored, as long as those of the scores")
    jobs: int = Field(gt=0, description="jobs that share the layers to score")
    repeats: int = Field(gt=0, description="rounds of timing, of each type")
    cosine: float = Field(ge=0, description="of two exchanged attentions, in all programs")
    speeds: tuple[float, ...] = Field(min_length=1, description="speeds of whole models, multiples of the parent's")
    sizes: tuple[float, ...] = Field(min_length=1, description="sizes of files, shares of the parent's")
    test_windows: int = Field(gt=0, description="windows of test text on which the children are run")
    served: tuple[float, ...] = Field(description="those of `speeds` whose children are served and timed")
    rounds: int = Field(gt=0, description="requests of each served child")

    @model_validator(mode="after")
    def _served_are_found(self) -> "BitsParams":
        if missing := set(self.served) - set(self.speeds):
            raise ValueError(f"served has {min(missing):g}, which speeds has not; expected some of {self.speeds}")
        return self


SECTIONS = {"bits": BitsParams}
