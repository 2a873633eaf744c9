"""The parent's hidden states before one layer after another, with one layer in memory and the states of two on disk."""

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tessera.common import randomness
from tessera.puzzle.library.activations import StoredStates, store
from tessera.puzzle.models.streaming import Streamed
from tessera.puzzle.params import CalibrationParams
from tessera.puzzle.text import Text, read


def calibration(tokens: Path, params: CalibrationParams, valid_windows: int, seed: int) -> dict[str, list[Text]]:
    """Windows (windows, T) of the block library's text, `train` and `valid`, by shard.

    Of train a shard has every shards-th window, of valid a run of windows. seed is that of the whole study.
    """
    train, valid = (
        read(tokens, split, params.window, count, randomness.seed(seed, "puzzle", *stream), target=False)
        for split, count, stream in (
            ("train", params.tokens // params.window, ["calibration"]),
            ("valid", valid_windows, ["library", "valid"]),
        )
    )
    runs = np.array_split(np.arange(valid_windows), params.shards)
    return {
        "train": [train[np.arange(shard, len(train), params.shards)] for shard in range(params.shards)],
        "valid": [valid[run] for run in runs],
    }


@torch.no_grad()
def walk(
    parent: Streamed,
    texts: Mapping[str, Tensor],
    layers: Collection[int],
    scratch: Path,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Iterator[tuple[int, dict[str, StoredStates]]]:
    """Yield some layers, in their order, with the hidden states before each, by the names of texts (windows, T).

    The numbers are those of `activations.store_before`. The states are in files of the directory scratch, and good
    until the next layer is asked for. track wraps the loop over all layers up to the last of these.
    """
    last = max(layers, default=-1)
    here = scratch / "0"
    here.mkdir()
    states = {}
    for name, text in texts.items():
        embedded = (parent.inputs(window[None])[0] for window in text)
        states[name] = store(here / f"{name}.npy", (*text.shape, parent.hidden_size), embedded)
    parent.forget()
    for index in track(range(last + 1)):
        if index in layers:
            yield index, states
        if index < last:
            following = scratch / str(index + 1)
            following.mkdir()
            states = {name: _behind(parent, index, x, following / f"{name}.npy") for name, x in states.items()}
            shutil.rmtree(here)
            here = following


def _behind(parent: Streamed, index: int, before: StoredStates, path: Path) -> StoredStates:
    """Hidden states behind a layer, written to path; one window at a time and half by half, as in store_before."""
    layer, calls = parent.layer(index), parent.calls(before.shape[1])
    behind = (layer(layer(x, calls, ffn=None), calls, attention=None) for x in before.split(1))
    return store(path, before.shape, behind)
