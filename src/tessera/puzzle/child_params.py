"""Parameters of one small child, made by the steps of the main chain in short."""

from typing import Self

from pydantic import Field, model_validator

from tessera.common.params import Section
from tessera.puzzle.models.space import PARENT, compose, decompose


class ChildParams(Section):
    """The child, and the text that it is made and measured with."""

    layers: list[int] = Field(min_length=1)
    """Layers that are exchanged; all others are the parent's."""
    block: str
    """Variant that takes their place, ATTENTION+FFN."""
    window: int = Field(gt=1)
    """Tokens per window."""
    calibration_windows: int = Field(gt=0)
    heal_windows: int = Field(gt=0)
    valid_windows: int = Field(gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        decompose(self.block)
        if min(self.layers) < 0 or len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers = {self.layers}; expected distinct layers, counted from 0")
        return self

    def choice(self, layers: int) -> list[str]:
        """The block of every one of a parent's layers. Raises ValueError if it does not have one of the child's."""
        if beyond := [layer for layer in self.layers if layer >= layers]:
            raise ValueError(f"child.layers = {beyond}: the parent has the layers 0 to {layers - 1}")
        return [self.block if layer in self.layers else compose(PARENT, PARENT) for layer in range(layers)]
