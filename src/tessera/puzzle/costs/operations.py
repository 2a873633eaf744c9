"""What the subblocks compute: the kernels of each variant, their arithmetic, traffic, parameters and KV cache.

Both `h100_database` and `roofline` price the same lists of kernels. They follow how the database's own model builder
takes a Llama apart: a fused residual-and-norm, one GEMM for query, key and value, attention with its rotary positions
and cache writes, the output GEMM; a second residual-and-norm, one GEMM for gate and up, the activation, the down GEMM;
an embedding before and a head GEMM behind all layers. Ours is the final norm, which that builder leaves out, and the
head GEMM covers only the last token of each prompt, as in servers. A no-op has no kernel, not even its norm.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tessera.puzzle.costs.params import Workload
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.space import FFN, Attention

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "fp8": 1}
#: fp8 is for the layers' GEMM weights and inputs and the KV cache; all else stays in two bytes.
UNQUANTISED_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "fp8": 2}
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
        return self.sequences * (self.tokens * self.past + self.tokens * (self.tokens + 1) // 2)


def prefill_passes(workload: Workload) -> list[tuple[int, Pass]]:
    """The passes that read the prompts, each with how often it happens.

    As many whole prompts go into one pass as max_num_tokens allows; a longer prompt is read by itself, in chunks.
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
    """A weight of k x n applied to each token, or only to the last token of each sequence."""

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
        size = (BYTES if self.quantised else UNQUANTISED_BYTES)[dtype]
        m = self.rows(step)
        return size * (self.n * self.k + m * self.k) + UNQUANTISED_BYTES[dtype] * m * self.n


@dataclass(frozen=True)
class CoreAttention:
    """Scores, softmax and weighted sum of grouped-query attention, with rotary positions and cache writes."""

    heads: int
    kv_heads: int
    head_dim: int
    qk_norm: bool = False

    def flops(self, step: Pass) -> int:
        return 4 * step.scores * self.heads * self.head_dim

    def traffic(self, step: Pass, dtype: str) -> int:
        """Bytes: keys and values of the whole context once, queries and outputs of the new tokens."""
        context = step.sequences * (step.past + step.tokens)
        kv = 2 * BYTES[dtype] * context * self.kv_heads * self.head_dim
        return kv + 2 * UNQUANTISED_BYTES[dtype] * step.rows * self.heads * self.head_dim


@dataclass(frozen=True)
class Elementwise:
    """A kernel that reads and writes a number of values of each token."""

    read: int
    written: int

    def flops(self, step: Pass) -> int:
        return 0  # negligible next to a GEMM's, and without tensor cores

    def traffic(self, step: Pass, dtype: str) -> int:
        return UNQUANTISED_BYTES[dtype] * step.rows * (self.read + self.written)


@dataclass(frozen=True)
class Embedding:
    """A row of the embedding for each token."""

    vocabulary: int
    hidden: int

    def flops(self, step: Pass) -> int:
        return 0

    def traffic(self, step: Pass, dtype: str) -> int:
        return 2 * UNQUANTISED_BYTES[dtype] * step.rows * self.hidden


Operation = Gemm | CoreAttention | Elementwise | Embedding


def attention_operations(architecture: Architecture, variant: Attention) -> list[Operation]:
    """Kernels of an attention subblock with its norm and residual."""
    a = architecture
    if variant.kind == "no_op":
        return []
    norm = Elementwise(2 * a.hidden_size, 2 * a.hidden_size)
    if variant.kind == "linear":
        return [norm, Gemm(a.hidden_size, a.hidden_size)]
    kv_heads = variant.kv_heads or a.num_kv_heads
    return [
        norm,
        Gemm((a.num_heads + 2 * kv_heads) * a.head_dim, a.hidden_size),
        CoreAttention(a.num_heads, kv_heads, a.head_dim, a.qk_norm),
        Gemm(a.hidden_size, a.num_heads * a.head_dim),
    ]


def ffn_operations(architecture: Architecture, variant: FFN) -> list[Operation]:
    """Kernels of an FFN subblock with its norm and residual."""
    h = architecture.hidden_size
    if variant.kind == "no_op":
        return []
    norm = Elementwise(2 * h, 2 * h)
    if variant.kind == "linear":
        return [norm, Gemm(h, h)]
    f = variant.intermediate_size(architecture)
    return [norm, Gemm(2 * f, h), Elementwise(2 * f, f), Gemm(h, f)]


def non_block_operations(architecture: Architecture) -> list[Operation]:
    """Kernels outside the layers: embedding, final norm and head."""
    h, vocabulary = architecture.hidden_size, architecture.vocab_size
    return [
        Embedding(vocabulary, h),
        Elementwise(2 * h, 2 * h),
        Gemm(vocabulary, h, quantised=False, last_token_only=True),
    ]
