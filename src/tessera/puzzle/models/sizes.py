"""What a parent needs of the chain: FLOPs, memory and disk of each step, counted from its shape and the parameters.

Counted are the matrix products, 2 FLOPs a weight and token forwards and 4 more backwards, attention's scores and
values, and the least squares' Gram matrices and Cholesky factors. Not counted: softmax, reading and writing.
"""

from dataclasses import dataclass
from math import ceil, inf

from tessera.puzzle.costs.memory import parameters
from tessera.puzzle.models import memory
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.memory import BYTES
from tessera.puzzle.models.space import FFN, Attention, Space
from tessera.puzzle.params import PuzzleParams
from tessera.puzzle.scores import schedule


@dataclass(frozen=True)
class Step:
    """One step of the chain: its jobs, FLOPs of all jobs, bytes of memory of one, and bytes left on disk."""

    name: str
    jobs: int
    flops: float
    memory: float
    disk: float


def steps(architecture: Architecture, params: PuzzleParams) -> list[Step]:
    """Count the steps that take long, for one cost target of the search. Sizes are in bytes.

    Raises ValueError if the parent has no such variants.
    """
    a, space = architecture, params.space
    space.check(a)
    layers = a.num_layers
    attention = {name: met(a, v) for name, v in space.attentions().items()}
    ffn = {name: met(a, v) for name, v in space.ffns().items()}
    block = attention["parent"] + ffn["parent"]
    head = a.vocab_size * a.hidden_size
    calibration, library, scores = params.calibration, params.library, params.scores
    # The parent sees the training text and the held-out windows of the block library.
    seen = calibration.tokens + library.valid_windows * calibration.window

    def forward(weights: float, window: int, with_layers: int = layers) -> float:
        """FLOPs of one token: causal attention sees half a window."""
        return 2 * weights + with_layers * 4 * a.num_heads * a.head_dim * window / 2

    variants = [*attention.items(), *ffn.items()]
    by_subblock = {"attention": attention, "ffn": ffn}
    subblocks: list[Attention | FFN] = [*space.attention.values(), *space.ffn.values()]
    new = sum(parameters(a, variant).count for variant in subblocks)
    trained = library.distillation.tokens
    fits = sum(least_squares(a, variant, calibration.tokens) for variant in subblocks)
    training = sum(
        trained * (3 * 2 * size + (attends(a, space, name) * 3 * 4 * a.num_heads * a.head_dim * calibration.window / 2))
        for subblock in library.distilled
        for name, size in by_subblock[subblock].items()
        if name != "parent" and size
    )
    scored = scores.windows * scores.window
    # A variant of layer l needs the layers after it: half of them on average; the head once per variant.
    score = (len(variants) - 2) * layers * scored * forward(layers * block / 2 + head, scores.window, layers // 2)
    methods = len(params.search.methods)
    heal_tokens = methods * params.heal.equal.tokens + params.heal.full.tokens
    heal = heal_tokens * (1 + 3) * forward(layers * block + head, calibration.window)
    # Of the parent, and of the child before and after: by that refit and full healing are kept.
    validated = 3 * calibration.window * forward(layers * block + head, calibration.window)
    heal += params.heal.valid_windows * validated
    refit = []
    if params.refit.tokens:
        tokens = params.refit.tokens + params.refit.valid_windows * calibration.window
        # Of parent and child, and of the map at the end of each subblock.
        flops = 2 * tokens * forward(layers * block, calibration.window)
        flops += layers * sum(_fitted(a, n, tokens) for n in (a.num_heads * a.head_dim, a.intermediate_size))
        flops += params.refit.valid_windows * validated
        held = memory.refit(a, params.refit, calibration.window).held
        refit = [Step("refit, one target", 1, flops, sum(held.values()), memory.whole(a) * BYTES)]
    # A job of the block library that streams takes the text through all layers up to its own.
    jobs, walks = (library.jobs, (library.jobs + 1) / 2) if library.stream else (calibration.shards, 1)
    building = memory.library(a, space, library, calibration)
    storing = building if library.stream else memory.activations(a, calibration, library.valid_windows)
    # Everything stays, on a device that is large enough.
    needs, scored_layers = memory.scores(a, space, scores.window), ceil(layers / scores.jobs)
    scoring = schedule.plan(needs, len(variants) - 2, layers, scored_layers, 1, inf)
    return [
        Step(
            "activations",
            jobs,
            walks * seen * forward(layers * block, calibration.window),
            sum(storing.held.values()),
            storing.disk * jobs,
        ),
        Step(
            "block library",
            library.jobs,
            layers * ((fits if library.initialisation == "least_squares" else 0) + training),
            sum(building.held.values()),
            layers * new * BYTES,
        ),
        Step("scores", scores.jobs, score, sum(scoring.memory.values()), 0),
        *refit,
        Step(
            "healing, one target",
            methods + 1,
            heal,
            sum(memory.healing(a, space, params.heal, params.heal.full, calibration.window).held.values()),
            memory.whole(a) * BYTES,
        ),
    ]


def met(architecture: Architecture, variant: Attention | FFN) -> float:
    """Weights that one token meets in a variant: of a mixture's experts, those that are active."""
    count, module = parameters(architecture, variant).count, architecture.skeleton.part(0, variant)
    experts = [p for p in module.parameters() if p.ndim == 3] if module else []
    if not experts or isinstance(variant, Attention):
        return count
    active = variant.active or memory.active_experts(architecture)
    return count - sum(p.numel() * (1 - active / len(p)) for p in experts)


def attends(architecture: Architecture, space: Space, name: str) -> bool:
    """Whether a variant of the space computes attention."""
    return name in space.attention and space.attention[name].kind == "gqa"


def least_squares(architecture: Architecture, variant: Attention | FFN, tokens: int) -> float:
    """FLOPs of the least squares by which a variant begins: a Gram matrix of its inputs, and a Cholesky factor."""
    if variant.kind == "no_op":
        return 0.0
    if variant.kind == "linear":
        width = architecture.hidden_size
    elif isinstance(variant, Attention):
        width = architecture.num_heads * architecture.head_dim
    else:
        width = variant.intermediate_size(architecture)
    return _fitted(architecture, width, tokens)


def _fitted(architecture: Architecture, width: int, tokens: int) -> float:
    """FLOPs of the least squares of one map from `width` features."""
    return 2.0 * tokens * width * (width + architecture.hidden_size) + width**3 / 3
