"""What a parent needs of the chain: FLOPs, memory and disk of each step, counted from its shape and the parameters.

Counted are the matrix products, 2 FLOPs a weight and token forwards and 4 more backwards, attention's scores and
values, and the least squares' Gram matrices and Cholesky factors. Not counted: softmax, reading and writing.
"""

from dataclasses import dataclass

from tessera.puzzle.costs.memory import non_block_parameters, parameters
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.space import FFN, Attention, Space
from tessera.puzzle.params import BATCH, LibraryParams, PuzzleParams
from tessera.puzzle.scores import divergence
from tessera.puzzle.scores.replace_one import BATCH_TOKENS
from tessera.puzzle.scores.schedule import Needs

#: The chain keeps weights and activations in float32.
BYTES = 4
#: AdamW: a gradient and two moments for each weight.
OPTIMISER = 4
#: Gram matrices are accumulated and factored in float64.
GRAM_BYTES = 8


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
    attention = {name: parameters(a, v).count for name, v in space.attentions().items()}
    ffn = {name: parameters(a, v).count for name, v in space.ffns().items()}
    block = attention["parent"] + ffn["parent"]
    others = non_block_parameters(a).count
    head = a.vocab_size * a.hidden_size
    parent = layers * block + others
    calibration, library, scores = params.calibration, params.library, params.scores
    # The parent sees the training text and the held-out windows of the block library.
    seen = calibration.tokens + library.valid_windows * calibration.window
    state = a.hidden_size * BYTES

    def forward(weights: float, window: int, with_layers: int = layers) -> float:
        """FLOPs of one token: causal attention sees half a window."""
        return 2 * weights + with_layers * 4 * a.num_heads * a.head_dim * window / 2

    variants = [*attention.items(), *ffn.items()]
    new = sum(size for name, size in variants if name != "parent")
    trained = library.distillation.tokens
    subblocks: list[Attention | FFN] = [*space.attention.values(), *space.ffn.values()]
    fits = sum(least_squares(a, variant, calibration.tokens) for variant in subblocks)
    training = sum(
        trained * (3 * 2 * size + (attends(a, space, name) * 3 * 4 * a.num_heads * a.head_dim * calibration.window / 2))
        for name, size in variants
        if name != "parent" and size
    )
    scored = scores.windows * scores.window
    # A variant of layer l needs the layers after it: half of them on average; the head once per variant.
    score = (len(variants) - 2) * layers * scored * forward(layers * block / 2 + head, scores.window, layers // 2)
    methods = len(params.search.methods)
    heal_tokens = methods * params.heal.equal.tokens + params.heal.full.tokens
    heal = heal_tokens * (1 + 3) * forward(layers * block + head, calibration.window)
    model = parent * BYTES
    return [
        Step(
            "activations",
            calibration.shards,
            seen * forward(layers * block, calibration.window),
            model + 2 * layers * calibration.window * state,  # of one window, before and within each layer
            layers * seen * state,
        ),
        Step(
            "block library",
            library.jobs,
            layers * ((fits if library.initialisation == "least_squares" else 0) + training),
            sum(library_memory(a, space, library, calibration.window).values()),
            layers * new * BYTES,
        ),
        Step("scores", scores.jobs, score, model + new * BYTES, 0),
        Step(
            "healing, one target",
            methods + 1,
            heal,
            model + OPTIMISER * model + 2 * calibration.window * a.vocab_size * BYTES,
            model,
        ),
    ]


def library_memory(architecture: Architecture, space: Space, params: LibraryParams, window: int) -> dict[str, float]:
    """Bytes that a job of the block library holds at most, above an idle process, by what they are for.

    Neither the length of the text nor the number of the job's layers counts: text is read a few windows at a time, and
    layers are made one after another. No moment needs all of it, so the sum is a bound of the peak.

    `layer` the parent's weights; `variants` all variants' weights, and their copy that is being written; `optimiser`
    gradient, moments and initial weights of the largest variant that is trained; `gram` the least squares' moments with
    what factorisation and elimination of channels need beside them; `batch` hidden states, heads and channels of the
    windows at hand, with what a way back keeps.
    """
    a, D, F = architecture, architecture.hidden_size, architecture.intermediate_size
    A = a.num_heads * a.head_dim
    sizes = [parameters(a, variant).count for variant in space.attention.values()]
    sizes += [parameters(a, variant).count for variant in space.ffn.values()]
    parent = parameters(a, Attention(kind="gqa")).count + parameters(a, FFN(kind="gated")).count
    # Numbers per token: what a pass over the text, and what a step of distillation, holds at once.
    text, step = 6 * D + max(4 * F, 6 * A), 8 * D + 6 * A + 7 * F
    return {
        "layer": parent * BYTES,
        "variants": 2 * sum(sizes) * BYTES,
        "optimiser": OPTIMISER * max(sizes, default=0) * BYTES,
        # The moments, two copies that are factored, and two that are cut down; and their products with the targets.
        "gram": GRAM_BYTES * (5 * max(F, A, D) ** 2 + 3 * max(F, A, D) * D),
        "batch": window * max(BATCH * text, params.distillation.batch_windows * step) * BYTES,
    }


def score_needs(architecture: Architecture, space: Space, window: int) -> Needs:
    """Bytes that scores hold on the device."""
    a, layers = architecture, range(architecture.num_layers)
    tokens = max(1, BATCH_TOKENS // window) * window
    block = max(sum(parameters(a, v, i).count for v in (Attention(kind="gqa"), FFN(kind="gated"))) for i in layers)
    variants: list[Attention | FFN] = [*space.attention.values(), *space.ffn.values()]
    width = 6 * a.hidden_size + max(4 * a.intermediate_size, 6 * a.num_heads * a.head_dim)
    return Needs(
        ends=BYTES * non_block_parameters(a).count,
        layer=BYTES * block,
        variants=BYTES * max(sum(parameters(a, v, i).count for v in variants) for i in layers),
        state=BYTES * tokens * a.hidden_size,
        # The head makes logits of both models, their logarithms and their differences.
        work=BYTES * max(tokens * width, 6 * min(divergence.CHUNK, tokens * a.vocab_size)),
    )


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
    return 2.0 * tokens * width * (width + architecture.hidden_size) + width**3 / 3
