"""Parameters of the ablations: what each part of the method is worth."""

from typing import Literal

from pydantic import Field

from tessera.common.params import Section
from tessera.puzzle.params import OptimiserParams
from tessera.puzzle.search import Method

Initialisation = Literal["random", "paper", "least_squares"]


class BlocksParams(Section):
    """Blockwise distillation of a few layers, from several initialisations and over several numbers of tokens."""

    layers: tuple[int, ...] = Field(min_length=1)
    initialisations: tuple[Initialisation, ...] = Field(min_length=1)
    tokens: tuple[int, ...] = Field(min_length=1, description="training tokens of each run; 0 trains nothing")


class CaseParams(Section):
    """One child: how it is chosen and what it is healed by. The defaults are the main chain's."""

    method: Method = "mip"
    score: Literal["kl_div", "lm_loss", "top1", "cosine"] = "kl_div"
    kept: tuple[str, ...] | None = Field(None, description="variants that the space is reduced to, of both subblocks")
    cosine: float = Field(1.0, ge=0)
    kl: float = Field(1.0, ge=0)
    lm: float = Field(0.0, ge=0)


class AblationsParams(Section):
    """One factor at a time, with several seeds."""

    seeds: int = Field(ge=1, description="seeds of training text and its order")
    target: str
    speedup: float = Field(gt=1, description="throughput of the blocks, in multiples of the parent's")
    windows: int = Field(ge=1, description="windows of test text, as long as those of the scores")
    healing: OptimiserParams
    blocks: BlocksParams
    cases: dict[str, CaseParams]
