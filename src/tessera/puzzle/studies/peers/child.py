"""The child of each way to prune, at one budget of its blocks' time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tessera.puzzle import search
from tessera.puzzle.child import assemble
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.loading import BLOCKS
from tessera.puzzle.models.space import Space
from tessera.puzzle.search import block_library, budgets
from tessera.puzzle.search.block_library import Library
from tessera.puzzle.studies.peers import pruning
from tessera.puzzle.studies.peers.params import Peer
from tessera.puzzle.studies.peers.pruning import Statistics, Times


@dataclass(frozen=True)
class Child:
    """A pruned model, and the predicted milliseconds of its blocks."""

    model: LanguageModel
    runtime_ms: float
    blocks: list[str]
    """One ATTENTION+FFN per layer, if it was chosen from a block library."""


def by_puzzle(
    parent: LanguageModel,
    space: Space,
    library: Sequence[Path],
    choices: Library,
    objective: str,
    speedup: float,
) -> Child:
    """Return the child that the program chooses from a block library, assembled from the library's directories.

    Raises ValueError if no child is that fast.
    """
    best = search.solve(choices, objective, {budgets.RUNTIME: budgets.runtime_for_speedup(choices, speedup)})
    if best.status == "infeasible":
        raise ValueError(f"peers.speedup = {speedup:g}: no child of the library is that fast")
    blocks = list(best.choice.values())
    return Child(assemble(parent, space, library, blocks), best.costs[budgets.RUNTIME], blocks)


def by_rule(peer: Peer, parent: LanguageModel, statistics: Statistics, times: Times, budget: float) -> Child:
    """Return the child of one of the other ways, whose blocks take at most `budget` milliseconds."""
    count, width = statistics.mean.shape
    if peer == "depth":
        dropped = pruning.dropped_layers(statistics.influence, times, width, budget)
        runtime = times.of([width] * count, [i not in dropped for i in range(count)])
        return Child(pruning.pruned(parent, dropped=dropped), runtime, [])
    if peer == "width":
        channels = pruning.uniform_channels(statistics.magnitude, times, budget)
        mean = None
    else:
        down = [pruning.last_map(layer)[1].weight for layer in parent.layers]
        channels = pruning.fluctuating_channels(statistics.variance, down, times, budget)
        mean = statistics.mean
    runtime = times.of([len(kept) for kept in channels])
    return Child(pruning.pruned(parent, channels=channels, mean=mean), runtime, [])


def channels(model: LanguageModel) -> list[int]:
    """Return the FFN channels of a child's layers, 0 where the FFN is dropped or a linear map."""
    kinds = [block["ffn"].get("kind", "own") for block in getattr(model.config, BLOCKS)]
    return [
        pruning.last_map(layer)[1].in_features if kind == "own" else 0
        for layer, kind in zip(model.layers, kinds, strict=True)
    ]


def parent_time(choices: Library) -> float:
    """Return the milliseconds of the parent's own blocks."""
    return block_library.total(choices, block_library.parent_choice(choices), budgets.RUNTIME)
