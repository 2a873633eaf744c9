"""What the subblocks compute: the kernels of each variant, their arithmetic, traffic, parameters and KV cache.

Both `kernel_database` and `roofline` price the same lists of kernels. They follow how the database's own model builder
takes a Llama apart: a fused residual-and-norm, one GEMM for query, key and value, attention with its rotary positions
and cache writes, the output GEMM; a second residual-and-norm, one GEMM for gate and up, the activation, the down GEMM;
an embedding before and a head GEMM behind all layers. Ours is the final norm, which that builder leaves out, and the
head GEMM is over the last token of each prompt alone, as servers compute it. A no-op has no kernel, not even its norm.

Other families are taken apart by the same rule, from their modules: maps of one input are one GEMM, the first norm
comes with the residual, each further one is a kernel. The experts of a mixture are one grouped GEMM in and one out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from tessera.puzzle.costs.params import Workload
from tessera.puzzle.models import skeleton, variants
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.space import FFN, Attention

#: Bytes of a weight of the layers' GEMMs; the last four are GGUF's blocks of 32 weights, scales included.
BYTES = {
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "fp8": 1,
    "q8_0": 34 / 32,
    "q5_0": 22 / 32,
    "q4_0": 18 / 32,
    "mxfp4": 17 / 32,
}
#: Of a weight of embedding and head, which fp8 leaves in two bytes.
OUTSIDE_BYTES = BYTES | {"fp8": 2}
#: Of an input of the layers' GEMMs, and of a key or value in the cache: llama.cpp's is in float16, whatever the file.
STATE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "fp8": 1, "q8_0": 2, "q5_0": 2, "q4_0": 2, "mxfp4": 2}
#: Of any other state.
OTHER_STATE_BYTES = STATE_BYTES | {"fp8": 2}
MIB = 2**20


@dataclass(frozen=True)
class Pass:
    """One forward pass: `tokens` new tokens in each of `sequences` sequences that hold `past` tokens already."""

    sequences: int
    tokens: int
    past: int = 0
    decode: bool = False

    @property
    def rows(self) -> int:
        """Tokens of the pass, the rows of its GEMMs."""
        return self.sequences * self.tokens

    @property
    def scores(self) -> int:
        """Pairs of a query and a key that causal attention looks at, per head."""
        return self.seen(None)

    def seen(self, window: int | None) -> int:
        """Pairs of a query and a key, per head, if a query sees the last `window` tokens alone; None for all."""
        pairs = self.tokens * self.past + self.tokens * (self.tokens + 1) // 2
        if window is not None:
            # The token at position p, from 1, misses p - window of those before it.
            first, last = max(0, self.past + 1 - window), max(0, self.past + self.tokens - window)
            pairs -= (last * (last + 1) - first * (first - 1)) // 2 if last else 0
        return self.sequences * pairs


def prefill_passes(workload: Workload) -> list[tuple[int, Pass]]:
    """The passes that read the prompts, each with how often it happens.

    As many whole prompts go into one pass as max_num_tokens allows; a longer prompt is read alone, in chunks.
    """
    together = min(workload.batch, max(1, workload.max_num_tokens // workload.prefill))
    whole, rest = divmod(workload.batch, together)
    passes = []
    for start in range(0, workload.prefill, workload.max_num_tokens):
        chunk = min(workload.max_num_tokens, workload.prefill - start)
        passes.append((whole, Pass(together, chunk, start)))
        if rest:
            passes.append((1, Pass(rest, chunk, start)))
    return passes


def decode_passes(workload: Workload) -> Iterator[Pass]:
    """Every decode step; the context grows from prefill + 1 to prefill + decode."""
    for step in range(workload.decode):
        yield Pass(workload.batch, 1, workload.prefill + step, decode=True)


@dataclass(frozen=True)
class Gemm:
    """A weight of k x n applied to each token, or to the last token of each sequence alone."""

    n: int
    k: int
    quantised: bool = True
    last_token_only: bool = False

    def rows(self, step: Pass) -> int:
        return step.sequences if self.last_token_only else step.rows

    def flops(self, step: Pass) -> int:
        return 2 * self.rows(step) * self.n * self.k

    def traffic(self, step: Pass, dtype: str) -> int:
        """Bytes read and written: weight and input in the GEMM's type, output in two or four bytes."""
        m = self.rows(step)
        weight = (BYTES if self.quantised else OUTSIDE_BYTES)[dtype] * self.n * self.k
        state = (STATE_BYTES if self.quantised else OTHER_STATE_BYTES)[dtype] * m * self.k
        return round(weight) + state + OTHER_STATE_BYTES[dtype] * m * self.n


@dataclass(frozen=True)
class ExpertsGemm:
    """A weight of k x n in each of `experts` experts, of which `active` are applied to each token."""

    n: int
    k: int
    experts: int
    active: int

    def touched(self, step: Pass) -> float:
        """Expected number of experts that see any token of a pass, if each token chooses uniformly and by itself."""
        return self.experts * (1 - (1 - self.active / self.experts) ** step.rows)

    def flops(self, step: Pass) -> int:
        return 2 * step.rows * self.active * self.n * self.k

    def traffic(self, step: Pass, dtype: str) -> int:
        """Bytes read and written: the weights of the experts touched, inputs and outputs of each expert's tokens."""
        rows = step.rows * self.active
        weights = round(BYTES[dtype] * round(self.touched(step) * self.n * self.k))
        return weights + STATE_BYTES[dtype] * rows * self.k + OTHER_STATE_BYTES[dtype] * rows * self.n


@dataclass(frozen=True)
class CoreAttention:
    """Scores, softmax and weighted sum of grouped-query attention, with rotary positions and cache writes."""

    heads: int
    kv_heads: int
    head_dim: int
    qk_norm: bool = False
    window: int | None = None
    """Tokens that a query sees at most, itself included; None for all."""

    def flops(self, step: Pass) -> int:
        return 4 * step.seen(self.window) * self.heads * self.head_dim

    def traffic(self, step: Pass, dtype: str) -> int:
        """Bytes: keys and values of all that the new tokens see once, queries and outputs of the new tokens."""
        context = step.past + step.tokens
        if self.window is not None:
            context = min(context, self.window + step.tokens - 1)
        kv = 2 * STATE_BYTES[dtype] * step.sequences * context * self.kv_heads * self.head_dim
        return kv + 2 * OTHER_STATE_BYTES[dtype] * step.rows * self.heads * self.head_dim


@dataclass(frozen=True)
class Elementwise:
    """A kernel that reads and writes a number of values of each token."""

    read: int
    written: int

    def flops(self, step: Pass) -> int:
        return 0  # negligible next to a GEMM's, and without tensor cores

    def traffic(self, step: Pass, dtype: str) -> int:
        return OTHER_STATE_BYTES[dtype] * step.rows * (self.read + self.written)


@dataclass(frozen=True)
class Embedding:
    """A row of the embedding for each token."""

    vocabulary: int
    hidden: int

    def flops(self, step: Pass) -> int:
        return 0

    def traffic(self, step: Pass, dtype: str) -> int:
        return 2 * OTHER_STATE_BYTES[dtype] * step.rows * self.hidden


Operation = Gemm | ExpertsGemm | CoreAttention | Elementwise | Embedding


@dataclass(frozen=True)
class Heads:
    """Numbers and sizes of an attention's heads; keys and values are of two sizes in some families."""

    heads: int
    kv_heads: int
    key_size: int
    value_size: int


def heads_of(architecture: Architecture, attention: nn.Module) -> Heads:
    """The heads of an attention of the parent's class."""
    size = getattr(attention, "head_dim", architecture.head_dim)
    value_size = getattr(attention, "v_head_dim", size)
    _, (_, inputs) = _maps(attention, architecture.hidden_size)
    heads = inputs // value_size
    groups = getattr(attention, "num_key_value_groups", None) or architecture.group_size
    return Heads(heads, heads // groups, getattr(attention, "qk_head_dim", size), value_size)


def stored(architecture: Architecture, attention: nn.Module) -> tuple[int, int, int]:
    """Heads, key size and value size of what an attention keeps of a token in the KV cache.

    Latent attention keeps what keys and values are made of, once for all heads, and the keys' rotated part.
    """
    if rank := getattr(attention, "kv_lora_rank", None):
        return 1, rank, attention.qk_rope_head_dim  # type: ignore[return-value]
    size = heads_of(architecture, attention)
    return size.kv_heads, size.key_size, size.value_size


def _maps(module: nn.Module, hidden: int) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """(outputs, inputs) of a subblock's linear maps: those into it, of one input joined, and the one out of it."""
    maps = skeleton.linear_maps(module)
    last = max((i for i, (outputs, _) in enumerate(maps) if outputs == hidden), default=None)
    if last is None:
        raise ValueError(f"{type(module).__name__} has no linear map to the hidden size, {hidden}")
    out = maps.pop(last)
    joined = sum(outputs for outputs, inputs in maps if inputs == hidden)
    return [(joined, hidden), *((n, k) for n, k in maps if k != hidden)], out


def _norms(architecture: Architecture, layer: int, subblock: str) -> list[Operation]:
    """Kernels of the residual and of a subblock's norms, the first of which is fused with it."""
    hidden, norms = architecture.hidden_size, len(architecture.skeleton.norms(layer, subblock))
    residual = Elementwise(2 * hidden, 2 * hidden if norms else hidden)
    return [residual, *[Elementwise(hidden, hidden)] * (norms - 1)]


def attention_operations(architecture: Architecture, variant: Attention, layer: int = 0) -> list[Operation]:
    """Kernels of an attention subblock of a layer with its norms and residual."""
    hidden, shapes = architecture.hidden_size, architecture.skeleton
    module = shapes.part(layer, variant)
    if module is None:
        return []
    norms = _norms(architecture, layer, "attention")
    if variant.kind == "linear":
        return [*norms, Gemm(hidden, hidden)]
    into, out = _maps(module, hidden)
    size = heads_of(architecture, module)
    qk_norm = any("norm" in name and list(part.parameters()) for name, part in module.named_children())
    core = CoreAttention(size.heads, size.kv_heads, size.key_size, qk_norm, shapes.window(layer, variant))
    return [*norms, *(Gemm(*sizes) for sizes in into), core, Gemm(*out)]


def ffn_operations(architecture: Architecture, variant: FFN, layer: int = 0) -> list[Operation]:
    """Kernels of an FFN subblock of a layer with its norms and residual."""
    hidden = architecture.hidden_size
    module = architecture.skeleton.part(layer, variant)
    if module is None:
        return []
    norms = _norms(architecture, layer, "ffn")
    if variant.kind == "linear":
        return [*norms, Gemm(hidden, hidden)]
    experts = [p for p in module.parameters() if p.ndim == 3]
    if experts:
        return [*norms, *_mixture(architecture, variant, module, experts, layer)]
    return [*norms, *_dense(module, hidden)]


def _dense(module: nn.Module, hidden: int) -> list[Operation]:
    """Kernels of an FFN that every token sees: maps in, activation, map out."""
    into, (n, k) = _maps(module, hidden)
    return [*(Gemm(*sizes) for sizes in into), Elementwise(into[0][0], k), Gemm(n, k)]


def _mixture(
    architecture: Architecture, variant: FFN, module: nn.Module, experts: Sequence[nn.Parameter], layer: int
) -> list[Operation]:
    """Kernels of a mixture: the router, what every token sees, the active experts' maps and activation."""
    hidden, config = architecture.hidden_size, architecture.config
    changes = variants.part(architecture.skeleton.layers[layer], config, variant).get("config", {})
    key = variants.key_of(config, variants.ACTIVE, "active experts")
    count, active = len(experts[0]), changes.get(key, getattr(config, key))
    inside = [p.numel() // count // hidden for p in experts]  # outputs of maps in, channels of the map out
    kernels: list[Operation] = [Gemm(count, hidden, quantised=False)]
    shared = [maps for maps in skeleton.linear_maps(module) if maps != (count, hidden)]
    if shared:
        kernels += _dense(module, hidden)
    channels, joined = inside[-1], sum(inside[:-1])
    return [
        *kernels,
        ExpertsGemm(joined, hidden, count, active),
        Elementwise(active * joined, active * channels),
        ExpertsGemm(hidden, channels, count, active),
    ]


def non_block_operations(architecture: Architecture) -> list[Operation]:
    """Kernels outside the layers: embedding, final norm and head."""
    h, vocabulary = architecture.hidden_size, architecture.vocab_size
    return [
        Embedding(vocabulary, h),
        Elementwise(2 * h, 2 * h),
        Gemm(vocabulary, h, quantised=False, last_token_only=True),
    ]
