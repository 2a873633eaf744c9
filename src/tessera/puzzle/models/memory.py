"""What a job of each step holds on its device and on disk, counted from the parent's shape before the step begins."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tessera.puzzle import compute
from tessera.puzzle.costs.memory import non_block_parameters, parameters
from tessera.puzzle.models import skeleton, variants
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.space import FFN, Attention, Space, decompose
from tessera.puzzle.params import BATCH, CalibrationParams, HealParams, LibraryParams, OptimiserParams, RefitParams
from tessera.puzzle.scores import divergence
from tessera.puzzle.scores.replace_one import BATCH_TOKENS
from tessera.puzzle.scores.schedule import GIB, Needs

#: The chain keeps weights and activations in float32.
BYTES = 4
#: Gram matrices are accumulated and factored in float64.
GRAM_BYTES = 8
#: The parent's own subblocks.
OWN: tuple[Attention, FFN] = (Attention(kind="gqa"), FFN(kind="gated"))
#: Bytes of AdamW's two moments of a weight; in 8 bits, each block of 256 has a scale.
MOMENTS = {"float32": 8.0, "8bit": 2 * (1 + 4 / 256)}


@dataclass(frozen=True)
class Memory:
    """Bytes that one job of a step holds at most."""

    held: Mapping[str, float]
    """On its device, by what they are for."""
    sure: tuple[str, ...]
    """Those of `held` that are there together whatever else happens; the others are bounds."""
    disk: float = 0.0
    """In files at one time, results apart."""


def whole(architecture: Architecture) -> int:
    """Weights of the parent."""
    return skeleton.count([architecture.skeleton.network])


def layer(architecture: Architecture) -> int:
    """Weights of the parent's largest layer."""
    a = architecture
    return max(sum(parameters(a, own, index).count for own in OWN) for index in range(a.num_layers))


def calibration_bytes(architecture: Architecture, calibration: CalibrationParams, valid_windows: int) -> int:
    """Bytes of the hidden states before one layer, of all text of the block library."""
    windows = calibration.tokens // calibration.window + valid_windows
    return windows * calibration.window * architecture.hidden_size * BYTES


def activations(architecture: Architecture, calibration: CalibrationParams, valid_windows: int) -> Memory:
    """The parent, one window before and within each layer; in files, the job's share of the states of all layers."""
    a = architecture
    states = 2 * a.num_layers * calibration.window * a.hidden_size * BYTES
    disk = a.num_layers * calibration_bytes(a, calibration, valid_windows) / calibration.shards
    return Memory({"parent": whole(a) * BYTES, "states": states}, ("parent",), disk)


def library(architecture: Architecture, space: Space, params: LibraryParams, calibration: CalibrationParams) -> Memory:
    """See `library_bytes`; in files, the states within and behind a layer, with those before two if the job streams."""
    states = calibration_bytes(architecture, calibration, params.valid_windows)
    held = library_bytes(architecture, space, params, calibration.window)
    return Memory(held, ("layer",), (4 if params.stream else 2) * states)


def library_bytes(architecture: Architecture, space: Space, params: LibraryParams, window: int) -> dict[str, float]:
    """Bytes that a job of the block library holds at most, above an idle process, by what they are for.

    Neither the length of the text nor the number of the job's layers counts: text is read a few windows at a time, and
    layers are made one after another. No moment needs all of it, so the sum is a bound of the peak.

    `layer` the parent's weights: a layer's, or, when a job that streams begins, those in no layer; `variants` all
    variants' weights, and their copy that is being written; `optimiser` gradient, moments and initial weights of the
    largest variant that is trained; `gram` the least squares' moments with what factorisation and elimination of
    channels need beside them; `batch` hidden states, heads and channels of the windows at hand, with what a way back
    keeps.
    """
    a, D, F = architecture, architecture.hidden_size, architecture.intermediate_size
    A = a.num_heads * a.head_dim
    sizes = variant_sizes(a, space)
    parent = max(layer(a), non_block_parameters(a).count if params.stream else 0)
    # Numbers per token: what a pass over the text, and what a step of distillation, holds at once.
    channels = F * active_experts(a)
    text, step = 6 * D + max(4 * channels, 6 * A), 8 * D + 6 * A + 7 * channels
    return {
        "layer": parent * BYTES,
        "variants": 2 * sum(sizes) * BYTES,
        "optimiser": 4 * max(sizes, default=0) * BYTES,
        # The moments, with ridges to choose from also of two parts of the text, two copies that are factored, and two
        # that are cut down; and their products with the targets.
        "gram": GRAM_BYTES * ((7 if params.ridges else 5) * max(F, A, D) ** 2 + 3 * max(F, A, D) * D),
        "batch": window * max(BATCH * text, params.distillation.batch_windows * step) * BYTES,
    }


def scores(architecture: Architecture, space: Space, window: int) -> Needs:
    """What scores hold on the device, from which `schedule.plan` makes their schedule."""
    a = architecture
    tokens = max(1, BATCH_TOKENS // window) * window
    width = 6 * a.hidden_size + max(4 * a.intermediate_size * active_experts(a), 6 * a.num_heads * a.head_dim)
    return Needs(
        ends=BYTES * non_block_parameters(a).count,
        layer=BYTES * layer(a),
        variants=BYTES * sum(variant_sizes(a, space)),
        state=BYTES * tokens * a.hidden_size,
        # The head makes logits of both models, their logarithms and their differences.
        work=BYTES * max(tokens * width, 6 * min(divergence.CHUNK, tokens * a.vocab_size)),
    )


def refit(architecture: Architecture, params: RefitParams, window: int) -> Memory:
    """Parent and child, the moments of one map and its factor, and a batch; in files, four states and the features.

    When the maps are done, the child as it was takes the place of the moments, to be compared.
    """
    a = architecture
    features = max(a.intermediate_size, a.num_heads * a.head_dim, a.hidden_size)
    windows = params.tokens // window + params.valid_windows
    # Of training and of held-out text, the factor and what it is made of; and their products with the targets.
    moments = GRAM_BYTES * (4 * features**2 + 4 * features * a.hidden_size)
    held = {
        "parent": whole(a) * BYTES,
        "child": whole(a) * BYTES,
        "gram": max(moments, whole(a) * BYTES),
        "batch": BATCH * window * (8 * a.hidden_size + 6 * features) * BYTES,
    }
    disk = windows * window * (5 * a.hidden_size + 2 * features) * BYTES
    return Memory(held, ("parent",), disk)


def healing(
    architecture: Architecture,
    space: Space,
    params: HealParams,
    schedule: OptimiserParams,
    window: int,
    blocks: Sequence[str] | None = None,
) -> Memory:
    """Parent and child, gradients and moments of what is trained, and a step's activations, of each process.

    blocks are the child's, ATTENTION+FFN; without them it is as large as the parent.
    """
    a, D = architecture, architecture.hidden_size
    blocks = blocks or ["parent+parent"] * a.num_layers
    named: tuple[Mapping[str, Attention | FFN], ...] = (space.attentions(), space.ffns())
    replaced, own = 0, 0
    for index, block in enumerate(blocks):
        for name, of_place in zip(decompose(block), named, strict=True):
            size = parameters(a, of_place[name], index).count
            replaced, own = (replaced, own + size) if name == "parent" else (replaced + size, own)
    ends = non_block_parameters(a).count
    trained = {"replaced": replaced, "blocks": replaced + own, "all": replaced + own + ends}[params.train]
    tokens = schedule.batch_windows // params.processes * window
    kept = 8 * D + 6 * a.num_heads * a.head_dim + 7 * a.intermediate_size * active_experts(a)  # of a layer and token
    layers = a.num_layers * D + kept if params.gradient_checkpointing else a.num_layers * kept
    taught = D * (a.num_layers if params.cosine else 1)
    held = {
        "parent": whole(a) * BYTES,
        "child": (replaced + own + ends) * BYTES,
        "gradients": trained * BYTES,
        "moments": trained * MOMENTS[params.optimiser_states],
    }
    held = {name: size / params.processes for name, size in held.items()}
    work = tokens * (layers + taught) + 6 * min(divergence.CHUNK, tokens * a.vocab_size)
    return Memory(held | {"activations": work * BYTES}, tuple(held))


def evaluation(architecture: Architecture, window: int, models: int) -> Memory:
    """The parent and `models` children, none larger than it, and a batch of windows in one of them."""
    work = scores(architecture, Space(attention={}, ffn={}), window).work
    last = (1 + models) * BYTES * BATCH_TOKENS * architecture.hidden_size
    held = {"parent": whole(architecture) * BYTES, "children": models * whole(architecture) * BYTES}
    return Memory(held | {"batch": work + last}, ("parent",))


def variant_sizes(architecture: Architecture, space: Space) -> list[int]:
    """Weights of each variant, of the layer in which it is largest."""
    variants: list[Attention | FFN] = [*space.attention.values(), *space.ffn.values()]
    layers = range(architecture.num_layers)
    return [max(parameters(architecture, variant, index).count for index in layers) for variant in variants]


def active_experts(architecture: Architecture) -> int:
    """Experts that see a token; 1 if the parent is no mixture."""
    config = architecture.config
    if not any(variants.is_mixture(part) for part in architecture.skeleton.layers):
        return 1
    return getattr(config, variants.key_of(config, variants.ACTIVE, "active experts"))


def announce(step: str, memory: Memory, device: torch.device | Sequence[torch.device], place: Path) -> None:
    """Print what a step will hold, and what is free on its device, or its devices, and on the disk of place.

    Raises ValueError if the device or the disk surely has too little.
    """
    devices = [device] if isinstance(device, torch.device) else device
    free, total = (sum(of_all) for of_all in zip(*map(compute.free, devices), strict=True))
    where = " and ".join(map(str, devices))
    disk = shutil.disk_usage(next(path for path in (place, *place.absolute().parents) if path.exists())).free
    parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in memory.held.items())
    print(
        f"{step}: at most {sum(memory.held.values()) / GIB:.2f} GiB on {where} ({parts}), where {free / GIB:.2f} GiB "
        f"are free; {memory.disk / GIB:.2f} GiB of files, where {disk / GIB:.2f} GiB are free",
        flush=True,
    )
    if (sure := sum(memory.held[name] for name in memory.sure)) > total:
        raise ValueError(
            f"{step}: {' and '.join(memory.sure)} need {sure / GIB:.2f} GiB, but {where} has {total / GIB:.2f} GiB; "
            f"expected a larger device"
        )
    if memory.disk > disk:
        raise ValueError(
            f"{place}: {step} need {memory.disk / GIB:.2f} GiB of disk, but {disk / GIB:.2f} GiB are free; expected "
            f"more, fewer puzzle.calibration.tokens, or puzzle.library.stream = true"
        )
