"""The block library: every variant of a layer, initialised and distilled, with the losses that show how well."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from tessera.puzzle.library import distill, initialise
from tessera.puzzle.library.activations import Activations, States
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.blocks import attention_spec, ffn_spec
from tessera.puzzle.models.model import Attention, GatedFFN, Layer, LinearFFN, Rotary
from tessera.puzzle.models.space import Space
from tessera.puzzle.models.specs import model_spec
from tessera.puzzle.params import BATCH, LibraryParams


class LayerLibrary:
    """Builds the variants of one layer of a parent, with a few windows of text in memory."""

    def __init__(
        self,
        layer: Layer,
        architecture: Architecture,
        space: Space,
        params: LibraryParams,
        train: States,
        valid: States,
        generator: Callable[[str], torch.Generator],
        scratch: Path,
    ) -> None:
        """layer is the parent's, of this architecture, none of its weights requiring a gradient.

        train and valid (windows, T, D) are hidden states before the layer; generator(variant) orders its batches;
        scratch is a directory for the other hidden states, as large as twice train and valid.
        """
        self.spec, self.architecture, self.space, self.params = model_spec(architecture), architecture, space, params
        self.layer, self.generator = layer, generator
        positions = torch.arange(train.shape[1])[None]
        self.rotary = Rotary(self.spec.rope_parameters, self.spec.head_dim)(positions, torch.float32)
        self.train = Activations.of(layer, train, self.rotary, scratch / "train")
        self.valid = Activations.of(layer, valid, self.rotary, scratch / "valid")

    def build(self) -> tuple[dict[str, Tensor], dict[str, dict]]:
        """Return the tensors, keyed subblock.variant/parameter, and a record of losses by subblock.variant."""
        tensors: dict[str, Tensor] = {}
        records: dict[str, dict] = {}
        for name, module, record in [*self._attentions(), *self._ffns()]:
            records[name] = record
            if module is not None:
                tensors |= {f"{name}/{key}": value.contiguous() for key, value in module.state_dict().items()}
        return tensors, records

    def _weights(self, after: Tensor) -> Tensor:
        """Weight of each token in least squares, so that the residual is the loss that distillation lowers."""
        if self.params.loss == "scalar":
            return torch.ones(after.shape[:-1])
        return 1 / after.square().sum(-1)

    def _batches(self, before: States, after: States, norm: nn.Module) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Normed inputs and outputs of a subblock between the hidden states around it, and the weights of tokens."""
        parts = (before.split(BATCH), after.split(BATCH), self.train.after.split(BATCH))
        for x, y, out in zip(*parts, strict=True):
            yield norm(x), y - x, self._weights(out)

    def _attentions(self) -> Iterator[tuple[str, nn.Module | None, dict]]:
        parent, norm = self.layer.self_attn, self.layer.input_layernorm
        assert isinstance(parent, Attention) and norm is not None  # a parent's layer has both
        for name, variant in self.space.attention.items():
            module = initialise.attention(self.spec, parent, attention_spec(self.architecture, variant))

            def forward(x: Tensor, module: nn.Module | None = module) -> Tensor:
                return self.layer.feed(x if module is None else x + module(norm(x), self.rotary))

            def least_squares(module: nn.Module | None = module) -> None:
                batches = self._batches(self.train.before, self.train.middle, norm)
                if module is not None:
                    initialise.fit_attention(module, self.rotary, batches, self.params.ridge)

            yield self._made(f"attention.{name}", module, forward, "before", least_squares)

    def _ffns(self) -> Iterator[tuple[str, nn.Module | None, dict]]:
        parent, norm = self.layer.mlp, self.layer.post_attention_layernorm
        assert isinstance(parent, GatedFFN) and norm is not None
        specs = {name: ffn_spec(self.architecture, variant) for name, variant in self.space.ffn.items()}
        widths = [s.intermediate_size for s in specs.values() if s.kind == "gated"]
        moments, kept = None, {}
        if widths:
            moments = initialise.channel_moments(parent, self._batches(self.train.middle, self.train.after, norm))
            kept = initialise.kept_channels(parent, moments, widths, self.params.selection, self.params.ridge)
        for name, spec in specs.items():
            channels = kept.get(spec.intermediate_size)
            module = initialise.ffn(self.spec, parent, spec, channels)

            def forward(x: Tensor, module: nn.Module | None = module) -> Tensor:
                return x if module is None else x + module(norm(x))

            def least_squares(module: nn.Module | None = module, channels: Tensor | None = channels) -> None:
                batches = self._batches(self.train.middle, self.train.after, norm)
                if module is not None:
                    initialise.fit_ffn(module, moments, channels, batches, self.params.ridge)

            yield self._made(f"ffn.{name}", module, forward, "middle", least_squares)

    def _is_optimal(self, module: nn.Module) -> bool:
        """Whether least squares has minimised the very loss that distillation would lower: a linear FFN's."""
        return isinstance(module, LinearFFN) and self.params.initialisation == "least_squares"

    def _made(
        self,
        name: str,
        module: nn.Module | None,
        forward: Callable[[Tensor], Tensor],
        place: str,
        least_squares: Callable[[], None],
    ) -> tuple[str, nn.Module | None, dict]:
        """Fit and distil one variant; its record holds the held-out losses after each phase and the training curve.

        Distillation that does not lower the held-out loss is taken back.
        """

        def losses() -> dict:
            return asdict(distill.evaluate(forward, getattr(self.valid, place), self.valid.after, BATCH))

        record: dict = {"parameters": sum(p.numel() for p in module.parameters()) if module else 0, "paper": losses()}
        if module is not None:
            if self.params.initialisation == "least_squares":
                least_squares()
                record["least_squares"] = losses()
            if self.params.distillation.tokens and not self._is_optimal(module):
                inputs, start = getattr(self.train, place), record.get("least_squares", record["paper"])
                record["distilled"], better = self.tried(
                    module,
                    lambda: record.update(training=self.distilled(name, module, forward, inputs)),
                    losses,
                    start,
                )
                record["kept"] = "distilled" if better else "initial"
        return name, module, record

    def distilled(self, name: str, module: nn.Module, forward: Callable[[Tensor], Tensor], inputs: States) -> dict:
        """Train module, which forward uses, to imitate the parent's output; the training loss by tokens."""
        how = (self.params.distillation, self.params.loss, self.generator(name))
        return asdict(distill.train(module, forward, inputs, self.train.after, *how))

    def tried(
        self, module: nn.Module, change: Callable[[], None], losses: Callable[[], dict], start: dict
    ) -> tuple[dict, bool]:
        """Held-out losses after a change of module, and whether it is kept: if not below `start`, it is taken back."""
        before = copy.deepcopy(module.state_dict())
        change()
        after = losses()
        better = after[self.params.loss] < start[self.params.loss]
        if not better:
            module.load_state_dict(before)
        return after, better
