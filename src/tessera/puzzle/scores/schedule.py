"""How scores are computed within a device's memory: which layers stay there, and what passes through them together.

A pass reads each layer that does not stay once, for all states that pass together. So the layers that stay take memory
from the states, which make passes fewer; of all ways to share it, the one that reads the fewest layers is taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

#: Bytes in a GiB.
GIB = 2**30


@dataclass(frozen=True)
class Needs:
    """Bytes of what scores hold on the device."""

    ends: float
    """The parent without its layers."""
    layer: float
    """One layer of the parent."""
    variants: float
    """All variants of one layer."""
    state: float
    """The hidden states of one batch of text."""
    work: float
    """What a layer or the head makes of one batch on its way."""


@dataclass(frozen=True)
class Schedule:
    """A way to score: what stays on the device, what a pass takes, and what that costs."""

    resident: int
    """Layers of the parent that stay."""
    batches: int
    """Batches of text in a pass."""
    layers: int
    """Layers whose variants are scored in a pass."""
    keeps_variants: bool
    """Whether all variants stay; if not, those of a layer are read for every pass."""
    passes: int
    loads: int
    """Layers of the parent that are read in all."""
    memory: Mapping[str, float]
    """Bytes on the device, by what they are for."""


def plan(needs: Needs, variants: int, parent_layers: int, scored: int, batches: int, memory: float) -> Schedule:
    """The schedule that reads the fewest layers, and among those has the fewest passes, in so many bytes of memory.

    variants are those of one layer, scored the number of layers that have them. Raises ValueError if not even the
    variants of one layer and one batch of text fit.
    """

    def held(resident: int, at_once: int, layers: int, keeps: bool = False) -> dict[str, float]:
        return {
            # One that does not stay is there as well.
            "parent": needs.ends + min(resident + 1, parent_layers) * needs.layer,
            "variants": needs.variants * (scored if keeps else 1),
            # The parent's before and within a layer, and one of each variant.
            "states": at_once * (layers * variants + 2) * needs.state,
            "work": needs.work,
        }

    def schedule(resident: int, at_once: int, layers: int, keeps: bool = False) -> Schedule:
        rounds = ceil(batches / at_once)
        at_once = ceil(batches / rounds)
        passes = rounds * ceil(scored / layers)
        loads = resident + passes * (parent_layers - resident)
        return Schedule(resident, at_once, layers, keeps, passes, loads, held(resident, at_once, layers, keeps))

    if sum(held(parent_layers, 1, scored, True).values()) <= memory:
        return schedule(parent_layers, 1, scored, True)
    if (least := sum(held(0, 1, 1).values())) > memory:
        raise ValueError(
            f"puzzle.compute.memory: scores need {least / GIB:.2f} GiB for one layer of the parent and its variants, "
            f"but may hold {memory / GIB:.2f} GiB; expected at least as much, or a device that has it"
        )
    possible = []
    for resident in range(parent_layers + 1):
        for layers in range(1, scored + 1):
            at_once = int((memory - sum(held(resident, 0, layers).values())) // ((layers * variants + 2) * needs.state))
            if at_once > 0:
                possible.append(schedule(resident, min(at_once, batches), layers))
    return min(possible, key=lambda s: (s.loads, s.passes, sum(s.memory.values())))
