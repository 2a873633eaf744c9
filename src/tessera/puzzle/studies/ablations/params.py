"""Parameters of the ablations: what each part of the method is worth."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tessera.common.params import Section
from tessera.puzzle.params import OptimiserParams
from tessera.puzzle.search_params import Method

Initialisation = Literal["random", "paper", "least_squares"]


class TextParams(Section):
    """Training text of the ablations' blocks and of healing, another for each seed."""

    tokens: int = Field(gt=0)
    window: int = Field(gt=1, description="tokens of one window")

    @model_validator(mode="after")
    def _at_least_one_window(self) -> Self:
        if self.tokens < self.window:
            raise ValueError(
                f"tokens = {self.tokens} is less than one window; expected at least window = {self.window}"
            )
        return self


class BlocksParams(Section):
    """Blockwise distillation of a few layers, from several initialisations and over several numbers of tokens."""

    layers: tuple[int, ...] = Field(min_length=1)
    initialisations: tuple[Initialisation, ...] = Field(min_length=1)
    tokens: tuple[int, ...] = Field(min_length=1, description="training tokens of each run; 0 trains nothing")


class ChildParams(Section):
    """What all cases share."""

    target: str | None = Field(
        description="cost target of the budget; null for the first measured one, or else the first"
    )
    speedup: float = Field(gt=1, description="throughput of the blocks, in multiples of the parent's")
    windows: int = Field(ge=1, description="windows of test text, as long as those of the scores")
    out_of_domain: int = Field(ge=1, description="windows of text of domains that are never trained on, as long")
    healing: OptimiserParams


class OwnBlocksParams(Section):
    """How a case makes the blocks of its child, in place of the library's."""

    initialisation: Literal["paper", "least_squares"]
    tokens: int = Field(ge=0, description="training tokens of each block; 0 trains nothing")


class CaseParams(Section):
    """One child: how it is chosen, what its blocks are and what it is healed by. The defaults are the main chain's."""

    method: Method = "mip"
    score: Literal["kl_div", "lm_loss", "top1", "cosine"] = "kl_div"
    kept: tuple[str, ...] | None = Field(None, description="variants that the space is reduced to, of both subblocks")
    blocks: OwnBlocksParams | None = Field(None, description="null takes the library's")
    sources: tuple[str, ...] | None = Field(
        None, min_length=1, description="sources of the text of own blocks and healing; null takes all"
    )
    cosine: float = Field(1.0, ge=0)
    kl: float = Field(1.0, ge=0)
    lm: float = Field(0.0, ge=0)
    against: str = Field("default", description="the case that this one is compared with, seed by seed")


class AblationsParams(Section):
    """One factor at a time, with several seeds."""

    seeds: int = Field(ge=1, description="seeds of training text and its order")
    text: TextParams
    blocks: BlocksParams
    child: ChildParams
    cases: dict[str, CaseParams]

    @model_validator(mode="after")
    def _against_a_case(self) -> Self:
        for name, case in self.cases.items():
            if case.against not in self.cases:
                raise ValueError(
                    f"cases.{name}: against = {case.against!r} is not a case; expected one of {', '.join(self.cases)}"
                )
        return self


SECTIONS = {"ablations": AblationsParams}
