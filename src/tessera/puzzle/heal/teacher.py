"""What the parent teaches in healing: its hidden states, computed at every step, or once and kept on disk.

The loss needs the states after every layer (its cosine) and the last, from which norm and head give the logits
exactly. So a token is L D numbers, or D without the cosine loss, in place of the V of its logits. They are of all
positions, whichever of them count in the loss. Shapes: B windows, T tokens, D hidden size, L layers, V vocabulary.
"""

import hashlib
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from tessera.common import files
from tessera.puzzle.heal.parallel import Group
from tessera.puzzle.models.decoder import LanguageModel

#: A parent and tokens (B, T) to its hidden states (B, T, D) after every layer, or after the last alone.
Teacher = Callable[[LanguageModel, Tensor], list[Tensor]]


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of named tensors, as hexadecimal digits."""
    content = hashlib.sha256()
    for name in sorted(tensors):
        content.update(name.encode())
        content.update(tensors[name].detach().cpu().contiguous().numpy().data)
    return content.hexdigest()


@torch.no_grad()
def states(parent: LanguageModel, tokens: Tensor) -> list[Tensor]:
    """Hidden states (B, T, D) after every layer."""
    h, calls = parent.inputs(tokens)
    states = []
    for layer in parent.layers:
        h = layer(h, calls)
        states.append(h)
    return states


@torch.no_grad()
def last_state(parent: LanguageModel, tokens: Tensor) -> list[Tensor]:
    """Hidden states (B, T, D) after the last layer, alone in a list."""
    return [parent.last(tokens)]


class Cache:
    """A teacher that remembers, on disk, what it computed for a step's windows.

    One file a batch of windows, in a directory a parent, both named by content: whoever heals a child of the same
    parent on the same batches, now or later, finds them. Only the batch at hand is in memory. Nothing is deleted here.
    """

    def __init__(self, directory: Path, parent: LanguageModel, teacher: Teacher, setting: str, group: Group) -> None:
        """setting is what else decides the states: their device and data type."""
        about = f"{teacher.__name__} {setting} {parent.config.to_json_string()} torch {torch.__version__}"
        about += f" {torch.get_num_threads()} threads"
        identity = hashlib.sha256(f"{digest(parent.network.state_dict())} {about}".encode())
        self.directory, self.teacher, self.group = directory / identity.hexdigest()[:32], teacher, group

    def __call__(self, parent: LanguageModel, tokens: Tensor) -> list[Tensor]:
        path = self.directory / f"{digest({'tokens': tokens})[:32]}.safetensors"
        there = path.is_file()
        # A split parent computes in all processes together, or in none.
        if self.group.all(there, tokens.device):
            kept = files.load_tensors(path, device=str(tokens.device))
            return [kept[str(i)] for i in range(len(kept))]
        states = self.teacher(parent, tokens)
        if not there:
            # Under a name of this process: another may be computing the same at this moment.
            hidden = path.with_name(f"{path.stem}-{socket.gethostname()}-{os.getpid()}{path.suffix}")
            files.save_tensors(hidden, {str(i): state for i, state in enumerate(states)})
            hidden.replace(path)
        return states
