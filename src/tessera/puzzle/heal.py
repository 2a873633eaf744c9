"""Global knowledge distillation (GKD): the assembled child learns from the whole parent.

    L = cosine * sum over layers of (1 - cos(h_child, h_parent)) + kl * KL(parent || child) + lm * next-token loss

with means over tokens; the paper's choice is cosine = kl = 1, lm = 0.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tessera.common import files
from tessera.puzzle import distill, divergence
from tessera.puzzle.model import LanguageModel
from tessera.puzzle.params import HealParams, OptimiserParams
from tessera.puzzle.score import hidden_states


@dataclass
class Curve:
    """Training losses by tokens seen; cosine is the mean over layers."""

    tokens: list[int] = field(default_factory=list)
    kl_div: list[float] = field(default_factory=list)
    cosine: list[float] = field(default_factory=list)
    lm_loss: list[float] = field(default_factory=list)


def trainable(parent: LanguageModel, child: LanguageModel, params: HealParams) -> dict[str, torch.nn.Parameter]:
    """The child's parameters that healing trains, by name.

    `replaced`: those of subblocks that are not the parent's. `blocks`: those of all layers and the final norm. `all`:
    the embedding and head as well.
    """
    if params.train == "replaced":
        prefixes = []
        for i, (own, other) in enumerate(zip(child.spec.layers, parent.spec.layers, strict=True)):
            slots = zip(("self_attn", "mlp"), own, other, strict=True)
            prefixes += [f"model.layers.{i}.{slot}." for slot, mine, theirs in slots if mine != theirs]
        return {name: p for name, p in child.named_parameters() if name.startswith(tuple(prefixes))}
    fixed = ("model.embed_tokens.", "lm_head.") if params.train == "blocks" else ()
    return {name: p for name, p in child.named_parameters() if not name.startswith(fixed)}


def loss(
    parent: LanguageModel, child: LanguageModel, tokens: Tensor, params: HealParams
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The loss of tokens (B, T + 1); and KL, mean cosine distance and next-token loss, without gradient."""
    x, targets = tokens[:, :-1], tokens[:, 1:].reshape(-1)
    with torch.no_grad():
        taught = hidden_states(parent, x)[0][1:]
        parent_last = parent.model.norm(taught[-1]).flatten(0, 1)
    h, rotary = child.model.embed_tokens(x), child.model.positions(x)
    distance = torch.zeros(())
    for layer, t in zip(child.model.layers, taught, strict=True):
        h = layer(h, rotary)
        if params.cosine:
            distance = distance + (1 - F.cosine_similarity(h, t, dim=-1)).mean()
    total, kl, lm = divergence.distillation_loss(
        child.model.norm(h).flatten(0, 1), child.lm_head, parent_last, parent.lm_head, targets, params.kl, params.lm
    )
    return total + params.cosine * distance, kl, distance.detach() / len(taught), lm


class Checkpoint:
    """What a killed healing goes on from, to bit-equal losses: weights, Adam's moments, the step and the curve."""

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        """identity tells one healing from another: a checkpoint of another is not resumed."""
        self.path, self.given = path, files.to_json(identity, indent=None)
        self.identity = self.given

    def identify(self, tensors: Mapping[str, Tensor]) -> None:
        """Make the bytes of what healing begins with part of the identity: of other weights or text it is another."""
        digest = hashlib.sha256()
        for name in sorted(tensors):
            digest.update(name.encode())
            digest.update(tensors[name].detach().contiguous().numpy().data)
        self.identity = f"{self.given} from {digest.hexdigest()}"

    def save(self, step: int, weights: Mapping[str, Tensor], adam: torch.optim.AdamW, curve: Curve) -> None:
        """Write the state after `step` steps."""
        tensors = {f"weight/{name}": w.detach() for name, w in weights.items()}
        for name, w in weights.items():
            tensors |= {f"adam/{name}/{key}": value for key, value in adam.state[w].items()}
        metadata = {"step": str(step), "identity": self.identity, "curve": files.to_json(asdict(curve), indent=None)}
        files.save_tensors(self.path, tensors, metadata)

    def load(self, weights: Mapping[str, Tensor], adam: torch.optim.AdamW) -> tuple[int, Curve]:
        """Restore weights and optimiser in place; return the steps done and the curve, (0, empty) if there is none."""
        if not self.path.is_file():
            return 0, Curve()
        metadata = files.tensor_metadata(self.path)
        if metadata.get("identity") != self.identity:
            return 0, Curve()
        tensors = files.load_tensors(self.path)
        with torch.no_grad():
            for name, w in weights.items():
                w.copy_(tensors[f"weight/{name}"])
                prefix = f"adam/{name}/"
                adam.state[w] = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
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
) -> Curve:
    """Train child, in place, to imitate parent on tokens (windows, T + 1).

    Windows come in an order drawn once by generator, each once an epoch, so that a resumed run sees what an
    unbroken one would; track wraps the loop over steps, to show progress. Returns the losses of every step, none
    where there is nothing to train.
    """
    weights = trainable(parent, child, params)
    if not weights:
        return Curve()  # a child that is the parent, or whose replaced subblocks are all no-ops
    for p in weights.values():
        p.requires_grad_(True)
    adam = distill.optimiser(list(weights.values()), schedule)
    order = list(distill.batches(len(tokens), schedule, tokens.shape[1] - 1, generator))
    done, curve = 0, Curve()
    if checkpoint:
        checkpoint.identify(child.state_dict() | {"tokens": tokens})
        done, curve = checkpoint.load(weights, adam)
    for i in track(range(done, len(order))):
        value, kl, cosine, lm = loss(parent, child, tokens[order[i]], params)
        distill.step(value, list(weights.values()), adam, distill.learning_rate(i, len(order), schedule), schedule)
        curve.tokens.append((i + 1) * schedule.batch_windows * (tokens.shape[1] - 1))
        for series, number in ((curve.kl_div, kl), (curve.cosine, cosine), (curve.lm_loss, lm)):
            series.append(float(number))
        if checkpoint and (i + 1) % params.checkpoint_steps == 0 and i + 1 < len(order):
            checkpoint.save(i + 1, weights, adam, curve)
    child.requires_grad_(False)
    return curve
