"""Parameters of the study of how many tokens healing needs."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tessera.common.params import Section

#: On which text a child is healed: people's, as the chain does, or what the parent writes.
Text = Literal["own", "written"]


class WrittenParams(Section):
    """Text that the parent writes itself, each piece of it a window of the calibration's with the token after it."""

    prompt: int = Field(gt=0, description="tokens of a training document with which each piece begins")
    temperature: float = Field(1.0, gt=0, description="of the drawn tokens")
    batch: int = Field(32, gt=0, description="pieces that are written at once")


class GpuParams(Section):
    """The GPU on which hours of healing are told, by its arithmetic alone."""

    name: str
    tflops: float = Field(gt=0, description="dense matrix products in bfloat16, TFLOP/s")
    utilisation: float = Field(gt=0, le=1, description="share of tflops that training reaches")


class HealingCurveParams(Section):
    """The kept children, each healed with several numbers of tokens, by the schedule of puzzle.heal.full."""

    tokens: tuple[int, ...] = Field(min_length=4, description="of each healing, ascending; each is a run of its own")
    texts: tuple[Text, ...] = Field(min_length=1, description="own: the training text; written: the parent's own")
    written: WrittenParams
    windows: int = Field(gt=0, description="test windows of each source, as long as those of puzzle.evaluate")
    kept: tuple[float, ...] = Field(
        (0.9, 0.95, 0.98), description="shares exp(-KL) of the parent's probability for which tokens are told"
    )
    draws: int = Field(1000, gt=1, description="of test documents, for intervals")
    gpu: GpuParams

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.tokens) != sorted(set(self.tokens)) or self.tokens[0] <= 0:
            raise ValueError(f"tokens = {list(self.tokens)}; expected numbers above 0, each above the one before it")
        if bad := [share for share in self.kept if not 0 < share < 1]:
            raise ValueError(f"kept has {bad[0]}; expected shares between 0 and 1")
        return self


SECTIONS = {"healing_curve": HealingCurveParams}
