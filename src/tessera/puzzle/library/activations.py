"""Hidden states around a layer, in files: only a few windows are in memory, however long the text.

Shapes: windows, T tokens, D hidden size. Files are read and not mapped, since mapped pages count as the process's own.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
import torch
from torch import Tensor

from tessera.common import files
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.layer import Calls, Layer
from tessera.puzzle.params import BATCH
from tessera.puzzle.scores.replace_one import hidden_states

#: File of the mask of a text, next to its hidden states; there is none if all tokens count.
MASK = "mask.npy"


class StoredStates:
    """Hidden states (windows, T, D), float32, of .npy files one after another, read when and as they are asked for.

    Raises FileNotFoundError, and ValueError naming the file, if one is missing, damaged, or of another shape than
    the first.
    """

    def __init__(self, paths: Sequence[Path], device: torch.device | str = "cpu") -> None:
        """device is where the states are used."""
        self.device = torch.device(device)
        self.paths, arrays = list(paths), [cast(np.memmap, files.read_npy(path)) for path in paths]
        for path, array in zip(paths, arrays, strict=True):
            right = array.dtype == np.float32 and array.ndim == 3 and array.flags.c_contiguous
            if not right or array.shape[1:] != arrays[0].shape[1:]:
                raise ValueError(
                    f"{path}: holds {array.dtype} {array.shape}; expected float32 (windows, T, D), with T and D as "
                    f"in {paths[0]}"
                )
        self._ends = list(accumulate(len(array) for array in arrays))
        self._begin = [array.offset for array in arrays]  # of the data behind each file's header, in bytes
        self.shape = (self._ends[-1], *arrays[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: slice | Tensor) -> Tensor:
        """The windows of a slice, or those that a tensor numbers."""
        numbers = range(*chosen.indices(len(self))) if isinstance(chosen, slice) else chosen.tolist()
        states = torch.empty(len(numbers), *self.shape[1:])
        for number, window in zip(numbers, states.numpy(), strict=True):
            self._read(number, window)
        return states.to(self.device)

    def to(self, device: torch.device) -> "StoredStates":
        """The same states, used on another device."""
        return StoredStates(self.paths, device)

    def split(self, size: int) -> Iterator[Tensor]:
        """All windows, `size` at a time."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def _read(self, number: int, window: np.ndarray) -> None:
        part = bisect_right(self._ends, number)
        offset = number - (self._ends[part - 1] if part else 0)
        with self.paths[part].open("rb") as file:
            file.seek(self._begin[part] + offset * window.nbytes)
            if file.readinto(window.data) != window.nbytes:
                raise ValueError(f"{self.paths[part]}: was cut short while it was read; delete it and run again")


#: Hidden states (windows, T, D), in memory or in files.
States: TypeAlias = Tensor | StoredStates


@contextmanager
def writing(path: Path, shape: Sequence[int]) -> Iterator[Callable[[Tensor], object]]:
    """Yield a function that appends windows to a new .npy file of hidden states of this shape.

    The file grows in place: it belongs in files.replacing_directory or files.scratch_directory. Raises ValueError if
    the windows are not as many as shape has.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header | {"shape": tuple(shape)})
        begin = file.tell()
        yield lambda windows: file.write(windows.detach().float().cpu().contiguous().numpy().data)
        written, whole = file.tell() - begin, 4 * int(np.prod(shape, dtype=np.int64))
        if written != whole:
            raise ValueError(f"{path}: {written} bytes were written, but the shape {tuple(shape)} needs {whole}")


def store(path: Path, shape: Sequence[int], parts: Iterable[Tensor]) -> StoredStates:
    """Write hidden states of this shape, which come some windows at a time, to a new .npy file (see `writing`)."""
    device = torch.device("cpu")
    with writing(path, shape) as write:
        for part in parts:
            write(part)
            device = part.device
    return StoredStates([path], device)


@torch.no_grad()
def store_before(
    layers: Iterable[int],
    model: LanguageModel,
    text: Tensor,
    directory: Path,
    track: Callable[[Tensor], Iterable[Tensor]] = iter,
) -> dict[int, StoredStates]:
    """Run a model on text (windows, T), one window at a time, and keep the hidden states before each of some layers.

    They are written to layer_<i>.npy in a new directory, and returned by layer; track wraps the loop over windows.
    """
    directory.mkdir()
    paths = {layer: directory / f"layer_{layer}.npy" for layer in layers}
    with ExitStack() as stack:
        shape = (*text.shape, model.hidden_size)
        writers = {layer: stack.enter_context(writing(path, shape)) for layer, path in paths.items()}
        for window in track(text):
            states = hidden_states(model, window[None])[0]
            for layer, write in writers.items():
                write(states[layer])
    return {layer: StoredStates([path]) for layer, path in paths.items()}


def store_mask(mask: Tensor | None, directory: Path) -> None:
    """Write the mask (windows, T) of text next to its hidden states, if it has one."""
    if mask is not None:
        files.write_npy(directory / MASK, mask.numpy())


def stored_mask(directories: Sequence[Path]) -> Tensor | None:
    """The mask (windows, T) of text whose hidden states are in several directories; None if all tokens count."""
    paths = [path for directory in directories if (path := directory / MASK).is_file()]
    return torch.cat([torch.from_numpy(np.array(files.read_npy(path))) for path in paths]) if paths else None


@dataclass
class Activations:
    """The parent's hidden states around one layer: before it, between its subblocks and after it, (windows, T, D)."""

    before: States
    middle: States
    after: States
    mask: Tensor | None = None
    """(windows, T) bool, the tokens that count; None if all do."""

    @classmethod
    @torch.no_grad()
    def of(
        cls, layer: Layer, before: States, calls: Calls, directory: Path, mask: Tensor | None = None
    ) -> "Activations":
        """Activations of a layer from the hidden states before it; the others are written to a new directory."""
        directory.mkdir()
        shape = before.shape
        middle = store(directory / "middle.npy", shape, (layer(x, calls, ffn=None) for x in before.split(BATCH)))
        after = store(directory / "after.npy", shape, (layer(x, calls, attention=None) for x in middle.split(BATCH)))
        return cls(before, middle, after, mask)

    def batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
        """before, middle, after and mask, BATCH windows at a time."""
        for start in range(0, len(self.before), BATCH):
            part = slice(start, start + BATCH)
            mask = None if self.mask is None else self.mask[part].to(self.before.device)
            yield self.before[part], self.middle[part], self.after[part], mask
