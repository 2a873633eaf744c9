"""Parameters of the Puzzle study, one model a step of the chain."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tessera.puzzle.costs.params import CostsParams
from tessera.puzzle.extras_params import ExtrasParams
from tessera.puzzle.models.space import Space
from tessera.puzzle.search import SearchParams

#: Windows that pass through a block at once where the library takes no gradient.
BATCH = 8


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CalibrationParams(_Section):
    """Training text that the block library, and then healing, learn from."""

    tokens: int = Field(gt=0, description="tokens of training text")
    window: int = Field(gt=1, description="tokens of one window")
    shards: int = Field(gt=0, description="jobs that the parent's forward pass is split into")

    @model_validator(mode="after")
    def _at_least_one_window(self) -> Self:
        if self.tokens < self.window:
            raise ValueError(f"tokens = {self.tokens} holds no window: valid is at least window = {self.window}")
        return self


class OptimiserParams(_Section):
    """AdamW with a cosine schedule after a linear warm-up."""

    tokens: int = Field(ge=0, description="training tokens; 0 trains nothing")
    batch_windows: int = Field(gt=0, description="windows of one step")
    learning_rate: float = Field(gt=0)
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(0.0, ge=0)
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps")


class LibraryParams(_Section):
    """Block library: initialisation and blockwise local distillation."""

    jobs: int = Field(gt=0, description="jobs that share the layers, every jobs-th layer each")
    initialisation: Literal["paper", "least_squares"]
    selection: Literal["contribution", "reconstruction"] = Field(
        description="which FFN channels are kept: the paper's contribution, or least reconstruction error"
    )
    loss: Literal["per_token", "scalar"] = Field(description="form of the normalised error; the paper's is scalar")
    ridge: float = Field(
        gt=0, description="ridge of the least squares, relative to the mean diagonal of the Gram matrix"
    )
    valid_windows: int = Field(gt=0, description="held-out windows on which losses are reported")
    distillation: OptimiserParams


class ScoresParams(_Section):
    """Replace-one-block scores on held-out text."""

    jobs: int = Field(gt=0, description="jobs that share the layers, every jobs-th layer each")
    windows: int = Field(gt=0, description="windows of validation text")
    window: int = Field(gt=1, description="tokens of one window")


class HealParams(_Section):
    """Global knowledge distillation of assembled children."""

    cosine: float = Field(ge=0, description="weight of the hidden states' cosine loss")
    kl: float = Field(ge=0, description="weight of KL(parent || child)")
    lm: float = Field(ge=0, description="weight of the next-token loss")
    train: Literal["replaced", "blocks", "all"] = Field(
        description="what is trained: the replaced subblocks, all blocks, or the embedding and head as well"
    )
    equal: OptimiserParams = Field(description="the equal healing by which methods are compared")
    full: OptimiserParams = Field(description="the healing of the children that are kept")
    checkpoint_steps: int = Field(gt=0, description="steps between resumable checkpoints")
    gradient_checkpointing: bool = Field(
        False, description="keep the input of each layer alone, and compute the layer again on the way back"
    )
    teacher: Literal["recompute", "cache"] = Field(
        "recompute", description="the parent's hidden states: computed at every step, or once and kept on disk"
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="where healing computes")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the matrix products; weights, Adam's moments, norms and losses are float32"
    )
    processes: int = Field(1, gt=0, description="processes, started by torchrun, that share the windows of a step")

    @model_validator(mode="after")
    def _something_to_learn_by_equal_shares(self) -> Self:
        if not self.cosine and not self.kl and not self.lm:
            raise ValueError("cosine, kl and lm are all 0, so nothing is learnt: valid is any of them above 0")
        for name, schedule in (("equal", self.equal), ("full", self.full)):
            if schedule.batch_windows % self.processes:
                raise ValueError(
                    f"{name}.batch_windows = {schedule.batch_windows} cannot be shared equally by processes = "
                    f"{self.processes}: valid are multiples of {self.processes}"
                )
        return self


class EvaluateParams(_Section):
    """Evaluation on the test split and on out-of-domain text."""

    windows: int = Field(gt=0, description="windows of each domain")
    window: int = Field(gt=1, description="tokens of one window")


class SpeedParams(_Section):
    """End-to-end time and memory of parent and children on this machine."""

    repeats: int = Field(gt=0)


class PuzzleParams(_Section):
    """The main chain, step by step."""

    space: Space
    calibration: CalibrationParams
    library: LibraryParams
    scores: ScoresParams
    costs: CostsParams
    search: SearchParams
    heal: HealParams
    evaluate: EvaluateParams
    speed: SpeedParams


SECTIONS = {"puzzle": PuzzleParams, "puzzle_extras": ExtrasParams}
