"""A model larger than its device: its layers are read from the model's files, one by one, when they are needed.

Names and forms of the weights in files are turned into those of modules by transformers' own code, as when a model is
read whole, so the numbers are the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import torch
from safetensors import safe_open
from torch import Tensor, nn

from tessera.puzzle.models import loading
from tessera.puzzle.models.decoder import Calls, LanguageModel, Layer

#: The part of a model that is in no layer: embedding, final norm, head.
ENDS = -1


class Streamed(LanguageModel):
    """A model of which some layers stay on a device, with one of the others; its ends come when they are needed.

    All that a model does it does too; what passes through all layers reads those that do not stay. A layer is good
    until the next is asked for.
    """

    def __init__(
        self,
        directory: str | Path,
        device: torch.device | str = "cpu",
        resident: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """The first `resident` layers stay. Raises as loading.load does, for a layer when it is read."""
        self.directory, self._where, self._dtype = Path(directory), torch.device(device), dtype
        network = loading.empty(self.directory, dtype)
        # Buffers, such as rotary frequencies, follow from the configuration and are there; weights are not.
        for module in network.modules():
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else buffer.to(self._where)
        super().__init__(network.requires_grad_(False))
        self.resident, self.loads = range(resident), 0
        #: The part that each weight is in.
        self._parts = {name: ENDS for name in network.state_dict()} | self._of_layers()
        self._entries, self._held = self._find(), set[int]()

    @property
    def device(self) -> torch.device:
        """Where its weights are when they are needed."""
        return self._where

    @property
    def layers(self) -> Sequence[Layer]:
        """All layers, each read when it is asked for."""
        return _Layers(self, range(len(self._layers)))

    def layer(self, index: int) -> Layer:
        """Layer `index`, from 0, with its weights; those of the one before it that does not stay are forgotten."""
        if index not in self._held:
            self._forget(self._held - {ENDS, *self.resident})
            self._read(index)
            self.loads += 1
        return super().layer(index)

    def inputs(
        self, tokens: Tensor, positions: Tensor | None = None, seen: Tensor | None = None
    ) -> tuple[Tensor, Calls]:
        """As of the model."""
        self._read_ends()
        return super().inputs(tokens, positions, seen)

    def head(self, states: Tensor) -> Tensor:
        """As of the model."""
        self._read_ends()
        return super().head(states)

    def forget(self) -> None:
        """Leave all weights without memory that do not stay, until they are needed again."""
        self._forget(self._held - {*self.resident})

    def weights(self) -> Mapping[str, Tensor]:
        """Weights by name, each read when it is asked for; in the order of names, a layer is read once."""
        return _Weights(self)

    def part_of(self, name: str) -> int:
        """The layer that a weight is in, or ENDS."""
        return self._parts.get(name, ENDS)

    def _of_layers(self) -> dict[str, int]:
        """The layer of each weight that is in one, by name."""
        names = {module: name for name, module in self.network.named_modules()}
        modules = [self.module(index) for index in range(len(self._layers))]
        return {f"{names[m]}.{name}": index for index, m in enumerate(modules) for name in m.state_dict()}

    def _find(self) -> dict[int, list[tuple[Path, str]]]:
        """The files that have the weights of each part, and their names there."""
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

        self._mapping = get_model_conversion_mapping(self.network)  # type: ignore[arg-type]
        renamings = [entry for entry in self._mapping if isinstance(entry, WeightRenaming)]
        converters = [entry for entry in self._mapping if isinstance(entry, WeightConverter)]
        state, base = self.network.state_dict(), self.network.base_model_prefix
        entries: dict[int, list[tuple[Path, str]]] = {part: [] for part in (ENDS, *range(len(self._layers)))}
        for path in loading.weight_files(self.directory):
            loading.check_header(path)
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118
                    renamed, _ = rename_source_key(name, renamings, converters, base, state)  # type: ignore[arg-type]
                    entries[self.part_of(renamed)].append((path, name))
        return entries

    def _read(self, part: int) -> None:
        """Read the weights of one part."""
        from transformers.core_model_loading import convert_and_load_state_dict_in_model
        from transformers.modeling_utils import LoadStateDictConfig

        network: Any = self.network
        config = LoadStateDictConfig(
            device_map={"": self._where}, dtype=self._dtype, weight_mapping=self._mapping, use_safetensors=True
        )
        tied = set(network.all_tied_weights_keys)
        expected = {name for name, place in self._parts.items() if place == part} - tied
        report: dict[str, Any] = {}
        with loading.strictly(self.directory, report):
            # Opened for this part alone: pages of an open file that were read count as the process's memory.
            opened = {path: safe_open(path, framework="pt") for path, _ in self._entries[part]}
            slices = {name: opened[path].get_slice(name) for path, name in self._entries[part]}
            info, _ = convert_and_load_state_dict_in_model(network, slices, config)
            report["missing_keys"] = info.missing_keys & expected
            report["mismatched_keys"] = info.mismatched_keys
            report["error_msgs"] = list(info.conversion_errors.values())
        self._held.add(part)
        network.requires_grad_(False)

    def _read_ends(self) -> None:
        if ENDS not in self._held:
            self._read(ENDS)
            self.network.tie_weights()  # type: ignore[operator]

    def _forget(self, parts: set[int]) -> None:
        """Leave weights without memory, until they are read again."""
        for name, part in self._parts.items():
            if part in parts:
                module, _, key = name.rpartition(".")
                owner = self.network.get_submodule(module)
                if (weight := owner._parameters.get(key)) is not None:
                    owner._parameters[key] = nn.Parameter(torch.empty_like(weight, device="meta"), requires_grad=False)
        self._held -= parts


class _Layers(Sequence[Layer]):
    """Some layers of a model, each read when it is asked for."""

    def __init__(self, model: Streamed, numbers: range) -> None:
        self.model, self.numbers = model, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, chosen: int) -> Layer: ...
    @overload
    def __getitem__(self, chosen: slice) -> "_Layers": ...
    def __getitem__(self, chosen: int | slice) -> "Layer | _Layers":
        if isinstance(chosen, slice):
            return _Layers(self.model, self.numbers[chosen])
        return self.model.layer(self.numbers[chosen])


class _Weights(Mapping[str, Tensor]):
    """The weights of a model by name, each read when it is asked for."""

    def __init__(self, model: Streamed) -> None:
        self.model, self.names = model, list(model._parts)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, name: str) -> Tensor:
        part = self.model.part_of(name)
        if part == ENDS:
            self.model._read_ends()
        else:
            self.model.layer(part)
        module, _, key = name.rpartition(".")
        return getattr(self.model.network.get_submodule(module), key)
