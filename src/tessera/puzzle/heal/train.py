"""Global knowledge distillation (GKD): the assembled child learns from the whole parent.

    L = cosine * sum over layers of (1 - cos(h_child, h_parent)) + kl * KL(parent || child) + lm * next-token loss

with means over tokens; the paper's choice is cosine = kl = 1, lm = 0. Of text with a mask (see tessera.puzzle.text)
they are means over the positions that count, in the cosine of every layer too; the others are context alone.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recomputed

from tessera.common import files
from tessera.puzzle.heal import parallel, teacher
from tessera.puzzle.heal.parallel import Group
from tessera.puzzle.heal.teacher import Teacher
from tessera.puzzle.library import distill
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.loading import BLOCKS
from tessera.puzzle.params import HealParams, OptimiserParams
from tessera.puzzle.scores import divergence
from tessera.puzzle.text import check, counted


@dataclass
class Curve:
    """Training losses by tokens seen, context included; cosine is the mean over layers."""

    tokens: list[int] = field(default_factory=list)
    kl_div: list[float] = field(default_factory=list)
    cosine: list[float] = field(default_factory=list)
    lm_loss: list[float] = field(default_factory=list)


def trainable(child: LanguageModel, params: HealParams) -> dict[str, torch.nn.Parameter]:
    """The child's parameters that healing trains, by name.

    `replaced`: those of subblocks that are not the parent's. `blocks`: those of all layers and the final norm. `all`:
    the embedding and head as well.
    """
    network = child.network
    if params.train == "replaced":
        chosen = [
            parameter
            for layer, block in zip(child.layers, getattr(child.config, BLOCKS, ()), strict=False)
            for subblock, part in block.items()
            if part
            for parameter in layer.subblock(subblock).parameters()
        ]
    else:
        ends = (network.get_input_embeddings(), network.get_output_embeddings()) if params.train == "blocks" else ()
        fixed = {id(parameter) for end in ends for parameter in end.parameters()}
        chosen = [parameter for parameter in network.parameters() if id(parameter) not in fixed]
    trained = {id(parameter) for parameter in chosen}
    return {name: parameter for name, parameter in network.named_parameters() if id(parameter) in trained}


def loss(
    parent: LanguageModel,
    child: LanguageModel,
    tokens: Tensor,
    params: HealParams,
    teach: Teacher = teacher.states,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The loss of tokens (B, T + 1); and KL, mean cosine distance and next-token loss, without gradient.

    teach gives the parent's hidden states; without the cosine loss, those after the last layer suffice. mask (B, T) has
    the positions that count, None for all.
    """
    x, targets = tokens[:, :-1], counted(tokens[:, 1:], mask)
    with torch.no_grad():
        taught = teach(parent, x)
    h, calls = child.inputs(x)
    distance = h.new_zeros(())
    for i, layer in enumerate(child.layers):
        if params.gradient_checkpointing:
            h = recomputed(layer, h, calls, use_reentrant=False, preserve_rng_state=False)
        else:
            h = layer(h, calls)
        if params.cosine:
            distance = distance + counted(1 - F.cosine_similarity(h, taught[i], dim=-1), mask).mean()
    heads, last = (child.head, parent.head), (counted(h, mask), counted(taught[-1], mask))
    trained = [p for p in child.head_parameters() if p.requires_grad]
    total, kl, lm = divergence.distillation_loss(heads, last, targets, trained, params.kl, params.lm)
    return total + params.cosine * distance, kl, distance.detach() / len(child.layers), lm


class Pair(nn.Module):
    """Parent and child as the one module that may be split over processes: its forward pass is the loss."""

    def __init__(self, parent: LanguageModel, child: LanguageModel, params: HealParams, teach: Teacher) -> None:
        super().__init__()
        self.parent, self.child, self.params, self.teach = parent, child, params, teach

    def forward(self, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return loss(self.parent, self.child, tokens, self.params, self.teach, mask)


class Checkpoint:
    """State from which an interrupted healing resumes with bit-identical losses: weights, Adam moments, step and curve.

    The file holds whole tensors, whatever number of processes wrote it, and any number may go on from it.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        """identity distinguishes healings: the checkpoint of another one is not resumed."""
        self.path, self.text = path, files.to_json(identity, indent=None)
        self.identity = self.text

    def identify(self, tensors: Mapping[str, Tensor]) -> None:
        """Make the bytes of what healing begins with part of the identity: of other weights or text it is another."""
        self.identity = f"{self.text} from {teacher.digest(tensors)}"

    def save(
        self, step: int, weights: Mapping[str, Tensor], adam: torch.optim.Optimizer, curve: Curve, group: Group
    ) -> None:
        """Write the state after `step` steps. All processes must call it; process 0 writes."""
        tensors: dict[str, Tensor] = {f"weight/{name}": w for name, w in weights.items()}
        for name, w in weights.items():
            tensors |= {f"adam/{name}/{key}": value for key, value in _plain(adam.state[w]).items()}
        metadata = {"step": str(step), "identity": self.identity, "curve": files.to_json(asdict(curve), indent=None)}
        gathered = group.gather(tensors)
        if group.rank == 0:
            files.save_tensors(self.path, gathered, metadata)

    def load(self, weights: Mapping[str, Tensor], adam: torch.optim.Optimizer) -> tuple[int, Curve]:
        """Restore weights and optimiser in place; return the steps done and the curve, (0, empty) if there is none."""
        if not self.path.is_file():
            return 0, Curve()
        metadata = files.tensor_metadata(self.path)
        if metadata.get("identity") != self.identity:
            return 0, Curve()
        tensors = files.load_tensors(self.path)
        with torch.no_grad():
            for name, w in weights.items():
                w.copy_(parallel.part(tensors[f"weight/{name}"], w))
                prefix = f"adam/{name}/"
                moments = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
                adam.state[w] = _moments({key: parallel.part(value, w) for key, value in moments.items()}, w)
        return int(metadata["step"]), Curve(**json.loads(metadata["curve"]))

    def remove(self) -> None:
        """Delete the checkpoint of a finished healing."""
        self.path.unlink(missing_ok=True)


def heal(
    parent: LanguageModel,
    child: LanguageModel,
    tokens: Tensor,
    params: HealParams,
    schedule: OptimiserParams,
    generator: torch.Generator,
    checkpoint: Checkpoint | None = None,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
    teacher_cache: Path | None = None,
    group: Group = Group(),  # noqa: B008
    where: torch.device | None = None,
    mask: Tensor | None = None,
) -> Curve:
    """Train child, in place, to imitate parent on tokens (windows, T + 1).

    Windows come in an order drawn once by generator, each once an epoch, so that a resumed run sees what an
    unbroken one would; track wraps the loop over steps, to show progress. teacher_cache is the directory of
    params.teacher = cache. The processes of a group all call this with the same arguments, get the same child, and each
    computes its share of every step; params.processes is for whoever starts them. where is the device of this process,
    by default that of the child. mask (windows, T) has the positions that count, None for all: a step's losses are
    means over those of all its windows, whichever process has them. Returns the losses of every step, none if there is
    nothing to train.

    Raises ValueError if a step's windows cannot be shared equally, a window has no position that counts, the cache has
    no directory, or the loss is not finite.
    """
    check(mask)
    names = trainable(child, params)
    if not names:
        return Curve()  # a child that is the parent, or whose replaced subblocks are all no-ops
    where = child.device if where is None else where
    steps = list(distill.batches(len(tokens), schedule, tokens.shape[1] - 1, generator))
    shares = [group.share(step) for step in steps]
    teach = _teacher(parent, params, teacher_cache, group)
    if checkpoint:
        text = {"tokens": tokens} if mask is None else {"tokens": tokens, "mask": mask}
        checkpoint.identify(child.network.state_dict() | text)
    pair = Pair(parallel.replica(parent), parallel.replica(child), params, teach)
    network = pair.child.network
    for name, p in network.named_parameters():
        p.requires_grad_(name in names)
    # Layers are taken apart before they are split over processes.
    group.place(pair, [layer.module for layer in (*pair.parent.layers, *pair.child.layers)], where)
    weights = {name: p for name, p in network.named_parameters() if name in names}
    adam = distill.optimiser(list(weights.values()), schedule, params.optimiser_states)
    done, curve = checkpoint.load(weights, adam) if checkpoint else (0, Curve())
    for i in track(range(done, len(steps))):
        mine = shares[i]
        value, kl, cosine, lm = pair(tokens[mine].to(where), None if mask is None else mask[mine])
        if mask is not None:  # gradients and numbers are means over processes, of which one has more that counts
            weight = float(group.size * mask[mine].sum() / mask[steps[i]].sum())
            value, kl, cosine, lm = weight * value, weight * kl, weight * cosine, weight * lm
        distill.step(value, list(weights.values()), adam, distill.learning_rate(i, len(steps), schedule), schedule)
        curve.tokens.append((i + 1) * schedule.batch_windows * (tokens.shape[1] - 1))
        numbers = group.mean(torch.stack((kl, cosine, lm))).tolist()
        for series, number in zip((curve.kl_div, curve.cosine, curve.lm_loss), numbers, strict=True):
            series.append(number)
        if checkpoint and (i + 1) % params.checkpoint_steps == 0 and i + 1 < len(steps):
            checkpoint.save(i + 1, weights, adam, curve, group)
    with torch.no_grad():
        for name, w in weights.items():
            names[name].copy_(parallel.whole(w))
    return curve


def _plain(moments: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Moments as tensors that a file can hold: those of 8 bits as their codes and scales."""
    plain: dict[str, Tensor] = {}
    for key, value in moments.items():
        coded = hasattr(value, "codes")
        plain |= {f"{key}.{part}": getattr(value, part) for part in ("codes", "scale")} if coded else {key: value}
    return plain


def _moments(plain: Mapping[str, Tensor], weight: Tensor) -> dict[str, Tensor]:
    """The moments of a weight, from what `_plain` made of them."""
    moments = {key: value for key, value in plain.items() if "." not in key}
    for key in (name.removesuffix(".codes") for name in plain if name.endswith(".codes")):
        from torchao.optim.subclass_8bit import OptimState8bit

        codes, scale = plain[f"{key}.codes"], plain[f"{key}.scale"]
        # The second moment alone has no sign.
        moments[key] = OptimState8bit.zeros(
            codes.shape, key == "exp_avg", codes.numel() // scale.numel(), weight.device, weight.dtype
        )
        moments[key].codes.copy_(codes)
        moments[key].scale.copy_(scale)
    return moments


def _teacher(parent: LanguageModel, params: HealParams, directory: Path | None, group: Group) -> Teacher:
    """The teacher that params ask for."""
    teach = teacher.states if params.cosine else teacher.last_state
    if params.teacher == "recompute":
        return teach
    if directory is None:
        raise ValueError("heal.teacher = cache, but there is no cache directory; expected recompute")
    kind = parent.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    return teacher.Cache(directory, parent, teach, f"{kind} {dtype}", group)
