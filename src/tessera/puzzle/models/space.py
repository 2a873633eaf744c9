"""The search space: variants that may replace the parent's attention and FFN subblocks.

The space is data: a named list of variants in params.yaml. Which of them a parent can have, its family decides.
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tessera.puzzle.models.architecture import Architecture

PARENT = "parent"


class Attention(BaseModel):
    """An attention variant: the parent's own with fewer KV heads or a window, a linear map, or nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["gqa", "linear", "no_op"]
    kv_heads: int | None = Field(default=None, ge=1, description="KV heads of a gqa variant; null for the parent's")
    reduction: Literal["merge", "drop"] = Field(
        default="merge",
        description="how KV heads become fewer: groups of them are averaged, or dropped with their query heads",
    )
    window: int | None = Field(
        default=None, ge=1, description="tokens that a query sees, itself included; null for as many as the parent's"
    )

    @model_validator(mode="after")
    def _only_gqa_has_heads(self) -> Self:
        for name in ("kv_heads", "window"):
            if self.kind != "gqa" and getattr(self, name) is not None:
                raise ValueError(f"{name} is for kind gqa, not {self.kind}")
        if self.reduction == "drop" and self.kv_heads is None:
            raise ValueError("reduction is for variants with kv_heads")
        return self

    def check_heads(self, kv_heads: int) -> None:
        """Raise ValueError unless a parent of so many KV heads can have the variant; merged groups are of one size."""
        valid = [kept for kept in range(1, kv_heads + 1) if self.reduction == "drop" or kv_heads % kept == 0]
        if self.kv_heads is not None and self.kv_heads not in valid:
            raise ValueError(f"kv_heads is {self.kv_heads}; for this parent, expected one of {valid}")


class FFN(BaseModel):
    """An FFN variant: the parent's own with fewer channels or experts, a linear map, or nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["gated", "linear", "no_op"]
    width: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="fraction of the parent's channels that are kept, of an expert's in a mixture",
    )
    experts: float = Field(default=1.0, gt=0, le=1, description="fraction of the parent's experts that are kept")
    active: int | None = Field(default=None, ge=1, description="experts that see a token; null for the parent's")

    @model_validator(mode="after")
    def _only_gated_has_sizes(self) -> Self:
        for name in ("width", "experts", "active"):
            if self.kind != "gated" and getattr(self, name) not in (1.0, None):
                raise ValueError(f"{name} is for kind gated, not {self.kind}")
        return self

    def intermediate_size(self, architecture: Architecture) -> int:
        """Channels kept, at least 1."""
        return max(1, round(self.width * architecture.intermediate_size))


class Space(BaseModel):
    """Named variants of each subblock; `parent`, the original subblock, is always one of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attention: dict[str, Attention]
    ffn: dict[str, FFN]

    @field_validator("attention", "ffn", mode="before")
    @classmethod
    def _without_null(cls, variants: Any) -> Any:
        """Leave out variants that are null, by which an overlay removes a variant."""
        return {n: v for n, v in variants.items() if v is not None} if isinstance(variants, dict) else variants

    @model_validator(mode="after")
    def _with_parent(self) -> Self:
        for field, variants in (("attention", self.attention), ("ffn", self.ffn)):
            for name in variants:
                if name == PARENT or not name or any(c in name for c in "+/ ,="):
                    raise ValueError(
                        f"{field}.{name}: a name must not be empty or {PARENT!r}, nor contain any of '+/ ,='"
                    )
        return self

    def attentions(self) -> dict[str, Attention]:
        """All attention variants by name, the parent first."""
        return {PARENT: Attention(kind="gqa")} | self.attention

    def ffns(self) -> dict[str, FFN]:
        """All FFN variants by name, the parent first."""
        return {PARENT: FFN(kind="gated")} | self.ffn

    def one_size(self) -> tuple[list[str], list[str]]:
        """Blocks that may be in every layer of a plain class like the parent's, and those that drop a layer."""
        attention = [name for name, a in self.attentions().items() if a.kind == "gqa" and a.window is None]
        ffn = [name for name, f in self.ffns().items() if f.kind == "gated"]
        dropped = [
            [name for name, variant in variants.items() if variant.kind == "no_op"]
            for variants in (self.attention, self.ffn)
        ]
        whole = [compose(a, f) for a in attention for f in ffn]
        return whole, [compose(a, f) for a in dropped[0] for f in dropped[1]]

    def check(self, architecture: Architecture) -> None:
        """Raise ValueError, naming the variant, if the parent's shape does not allow it."""
        for name, variant in self.attention.items():
            try:
                variant.check_heads(architecture.num_kv_heads)
            except ValueError as error:
                raise ValueError(f"attention.{name}: {error}") from None


def compose(attention: str, ffn: str) -> str:
    """Name of the block variant that consists of an attention and an FFN variant, the key in block libraries."""
    return f"{attention}+{ffn}"


def decompose(block: str) -> tuple[str, str]:
    """Inverse of compose. Raises ValueError if the name does not consist of two parts."""
    attention, plus, ffn = block.partition("+")
    if not (attention and plus and ffn):
        raise ValueError(f"block variant {block!r}: expected ATTENTION+FFN")
    return attention, ffn
