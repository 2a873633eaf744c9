"""Parameters of the main chain, one model per step."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from tessera.common.params import Section
from tessera.puzzle.costs.params import CostsParams
from tessera.puzzle.models.space import Space
from tessera.puzzle.search_params import SearchParams

#: Windows that pass through a block at once if the library takes no gradient.
BATCH = 8


class CalibrationParams(Section):
    """Training text of the block library and of healing."""

    tokens: int = Field(gt=0, description="tokens of training text")
    window: int = Field(gt=1, description="tokens per window")
    shards: int = Field(gt=0, description="number of jobs of the parent's forward pass")

    @model_validator(mode="after")
    def _at_least_one_window(self) -> Self:
        if self.tokens < self.window:
            raise ValueError(f"tokens = {self.tokens} holds no window; expected at least window = {self.window}")
        return self


class OptimiserParams(Section):
    """AdamW with a cosine schedule after a linear warm-up."""

    tokens: int = Field(ge=0, description="training tokens; with 0, nothing is trained")
    batch_windows: int = Field(gt=0, description="windows per step")
    learning_rate: float = Field(gt=0)
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(0.0, ge=0)
    clip: float = Field(1.0, gt=0, description="maximal norm of the gradient")
    warmup: float = Field(0.05, ge=0, lt=1, description="fraction of the steps")


class LibraryParams(Section):
    """Block library: initialisation and blockwise local distillation (BLD)."""

    jobs: int = Field(gt=0, description="number of jobs, which share the layers")
    initialisation: Literal["paper", "least_squares"] = Field(
        description="where distillation starts: the paper's initialisation, or least squares"
    )
    selection: Literal["contribution", "reconstruction"] = Field(
        description="FFN channels to keep: of largest contribution (the paper's), or least reconstruction error"
    )
    loss: Literal["per_token", "scalar"] = Field(
        description="form of the normalised error of a block's output; the paper's is scalar"
    )
    ridge: float = Field(
        gt=0, description="ridge of the least squares, relative to the mean diagonal of the Gram matrix"
    )
    ridges: tuple[PositiveFloat, ...] = Field(
        (),
        description="ridges of a variant's last map that are tried around 0 and around the weights that it has before, "
        "of which the best on the last tenth of the calibration text is taken; with none, it is `ridge` around 0",
    )
    valid_windows: int = Field(gt=0, description="held-out windows on which losses are reported")
    stream: bool = Field(
        False,
        description="save disk and memory: each job takes consecutive layers and advances the text through the parent "
        "by itself, a layer at a time. false: hidden states before all layers are computed first, once for all jobs",
    )
    distillation: OptimiserParams = Field(description="gradient descent of the variants")
    distilled: tuple[Literal["attention", "ffn"], ...] = Field(
        ("attention", "ffn"),
        description="subblocks whose variants distillation trains; the others are only initialised",
    )


class ScoresParams(Section):
    """Replace-one-block scores on validation text."""

    jobs: int = Field(gt=0, description="number of jobs; each takes every jobs-th layer")
    windows: int = Field(gt=0, description="number of windows")
    window: int = Field(gt=1, description="tokens per window")


class RefitParams(Section):
    """Least squares of an assembled child's linear maps, on its own hidden states, before it is healed."""

    tokens: int = Field(ge=0, description="tokens of training text; with 0, nothing is refitted")
    valid_windows: int = Field(
        default=8,
        gt=0,
        description="held-out windows by which the ridge of each map is chosen; by as many others of validation text "
        "the share of the refit that is kept",
    )
    ridges: tuple[PositiveFloat, ...] = Field(
        default=(0.001, 0.01, 0.1, 1.0, 10.0),
        min_length=1,
        description="ridges around a map's present weights that are tried, relative to the mean diagonal of the Gram "
        "matrix",
    )


class HealParams(Section):
    """Global knowledge distillation (GKD) of assembled children."""

    cosine: float = Field(ge=0, description="weight of the hidden states' cosine loss")
    kl: float = Field(ge=0, description="weight of KL(parent || child)")
    lm: float = Field(ge=0, description="weight of the next-token loss")
    train: Literal["replaced", "blocks", "all"] = Field(
        description="what is trained: the replaced subblocks, all blocks and the final norm, or also embedding and head"
    )
    equal: OptimiserParams = Field(description="healing of every method's child, to compare methods")
    full: OptimiserParams = Field(description="healing of the children that are kept")
    valid_windows: int = Field(
        8, gt=0, description="windows of validation text by which the share of full healing that is kept is chosen"
    )
    checkpoint_steps: int = Field(gt=0, description="steps between resumable checkpoints")
    gradient_checkpointing: bool = Field(
        False,
        description="save memory: keep only the input of each layer, and recompute the layer in the backward pass",
    )
    optimiser_states: Literal["float32", "8bit"] = Field(
        "float32",
        description="AdamW's moments: in float32, or in 8 bits with a scale for each block of them, which takes a "
        "quarter of the memory and needs the extra `low-memory` (torchao)",
    )
    teacher: Literal["recompute", "cache"] = Field(
        "recompute",
        description="the parent's hidden states: recomputed at every step, or cached on disk for several children",
    )
    processes: int = Field(1, gt=0, description="torchrun processes that share the windows of a step")

    @model_validator(mode="after")
    def _something_to_learn_by_equal_shares(self) -> Self:
        if not self.cosine and not self.kl and not self.lm:
            raise ValueError("cosine, kl and lm are all 0, so nothing is learnt; at least one must be above 0")
        if self.optimiser_states != "float32" and self.processes > 1:
            raise ValueError(
                f"optimiser_states = {self.optimiser_states} is for one process, which holds all moments; expected "
                f"float32, whose moments are split over processes = {self.processes}"
            )
        for name, schedule in (("equal", self.equal), ("full", self.full)):
            if schedule.batch_windows % self.processes:
                raise ValueError(
                    f"{name}.batch_windows = {schedule.batch_windows} cannot be shared equally by processes = "
                    f"{self.processes}; expected a multiple of {self.processes}"
                )
        return self


class EvaluateParams(Section):
    """Quality on test text of every domain, before and after healing."""

    windows: int = Field(gt=0, description="windows per domain")
    window: int = Field(gt=1, description="tokens per window")


class SpeedParams(Section):
    """End-to-end time and memory of parent and children on this machine."""

    repeats: int = Field(gt=0, description="rounds that are timed")


class ComputeParams(Section):
    """Where models compute: activations, block library, scores, healing, evaluation and tasks."""

    device: Literal["auto", "cpu", "cuda"] = Field("cpu", description="auto: a GPU if there is one, else the CPU")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="type of matrix products; weights, sums, norms and losses are float32. A device that is slower in "
        "bfloat16 refuses it",
    )
    gpus: int = Field(
        1,
        gt=0,
        description="GPUs of a job that holds whole models, whose layers are spread over them: activations, search, "
        "refit, evaluation and tasks. Healing has heal.processes; the block library and scores take a parent layer by "
        "layer",
    )
    memory: float | None = Field(
        None,
        gt=0,
        description="GiB that scores may hold on the device; layers of the parent beyond are read when they are "
        "needed. null: what is free, on a CPU, where other jobs run too, half of it",
    )

    @model_validator(mode="after")
    def _several_gpus(self) -> Self:
        if self.gpus > 1 and self.device == "cpu":
            raise ValueError(f"gpus = {self.gpus}, but device = cpu; expected device = cuda, or gpus = 1")
        return self


class PuzzleParams(Section):
    """The main chain, step by step."""

    compute: ComputeParams
    space: Space
    calibration: CalibrationParams
    library: LibraryParams
    scores: ScoresParams
    costs: CostsParams
    search: SearchParams
    refit: RefitParams = RefitParams(tokens=0)
    heal: HealParams
    evaluate: EvaluateParams
    speed: SpeedParams

    @model_validator(mode="after")
    def _text_longer_than_windows(self) -> Self:
        lengths = {
            "calibration": self.calibration.window,
            "scores": self.scores.window,
            "evaluate": self.evaluate.window,
        }
        for name, variant in self.space.attention.items():
            for key, length in lengths.items():
                if variant.window is not None and length <= variant.window:
                    raise ValueError(
                        f"space.attention.{name}: a window of {variant.window} tokens would seem to cost nothing on "
                        f"text of {key}.window = {length}; expected {key}.window above {variant.window}, best as "
                        "long as what the child will read and write"
                    )
        return self


SECTIONS = {"puzzle": PuzzleParams}
