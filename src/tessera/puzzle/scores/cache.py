"""Scores, kept by what they are the scores of, so that of a larger space only the variants that are new are scored.

A score is a function of the parent's weights, the exchanged module, its place, the text, the code that scores, and of
torch and its threads, which decide the order of sums. All of them are in the name of a score's file. The files are no
results: whatever is in them would be computed again to the same digits, and they may be deleted.
"""

import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tessera.common import code, files
from tessera.puzzle.heal.teacher import digest
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.scores.replace_one import OnDemand, Variants

#: Metrics of a variant, and those of a layer's variants by subblock.
Metrics = dict[str, float]
Scores = dict[str, dict[str, Metrics]]

ROOT = Path(__file__).parents[3]


class ScoreCache:
    """Scores of one parent on one text or set of items, one file per variant."""

    def __init__(self, directory: Path, parent: LanguageModel, seen: str, module: str) -> None:
        """seen identifies the text or items by their content; module is that of the function that scores."""
        about = f"{parent.config.to_json_string()} torch {torch.__version__} {torch.get_num_threads()} threads"
        self.directory, self.about = directory, f"{digest(parent.weights())} {seen} {_code(module)} {about}"

    def path(self, layer: int, subblock: str, module: nn.Module | str | None) -> Path:
        """The file of the layer's subblock exchanged for a module; None is a no-op, "parent" exchanges nothing."""
        content = f"{module!r} {digest(module.state_dict())}" if isinstance(module, nn.Module) else repr(module)
        name = hashlib.sha256(f"{self.about} {layer} {subblock} {content}".encode()).hexdigest()
        return self.directory / f"{name[:32]}.json"

    def score(
        self, variants: Mapping[int, Variants], compute: Callable[[Mapping[int, Variants]], dict[int, Scores]]
    ) -> dict[int, Scores]:
        """Scores of variants, as compute returns them; it is called for those that are not kept, if there are any."""
        paths = {
            (layer, subblock, name): self.path(layer, subblock, module)
            for layer, subblocks in variants.items()
            for subblock, modules in subblocks.items()
            for name, module in modules.items()
        }
        # compute adds the parent's own scores to those of each layer that it is asked for.
        paths |= {(layer, "attention", PARENT): self.path(layer, "attention", PARENT) for layer in variants}
        known = {key: kept for key, path in paths.items() if (kept := _read(path)) is not None}
        layers = dict.fromkeys(key[0] for key in paths if key not in known)
        missing = OnDemand(
            layers,
            lambda layer: {
                subblock: {name: module for name, module in modules.items() if (layer, subblock, name) not in known}
                for subblock, modules in variants[layer].items()
            },
        )
        for layer, parts in (compute(missing) if missing else {}).items():
            for subblock, scored in parts.items():
                for name, metrics in scored.items():
                    known[layer, subblock, name] = metrics
                    _write(paths[layer, subblock, name], metrics)
        scores: dict[int, Scores] = {layer: {"attention": {}, "ffn": {}} for layer in variants}
        for layer, subblock, name in paths:
            scores[layer][subblock][name] = known[layer, subblock, name]
        return scores


def text(tokens: Tensor, documents: np.ndarray, mask: Tensor | None = None) -> str:
    """Identity of the text of `replace_one.score` by its content: tokens (windows, T + 1), documents and mask."""
    content = {"tokens": tokens, "documents": torch.from_numpy(documents)} | ({} if mask is None else {"mask": mask})
    return f"{digest(content)} {tuple(tokens.shape)}"


def _code(module: str) -> str:
    """Digest of the source that scores: a change of it is a change of scores."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in code.closure(module, ROOT))).hexdigest()


def _write(path: Path, metrics: Metrics) -> None:
    files.write_json(path, {"metrics": metrics, "sha256": _digest(metrics)})


def _read(path: Path) -> Metrics | None:
    """The metrics of a file; None if there is no file or, with a notice, if it is damaged."""
    if not path.is_file():
        return None
    try:
        content = files.read_json(path)
        if content["sha256"] == _digest(content["metrics"]):
            return content["metrics"]
        reason = "its content does not agree with its checksum"
    except (ValueError, TypeError, KeyError) as error:
        reason = str(error)
    print(f"{path}: damaged, so computed again: {reason}", file=sys.stderr)
    return None


def _digest(metrics: Metrics) -> str:
    return hashlib.sha256(files.to_json(metrics, indent=None).encode()).hexdigest()
