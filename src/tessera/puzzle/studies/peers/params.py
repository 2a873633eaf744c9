"""Parameters of the comparison with other ways to prune."""

from typing import Literal

from pydantic import Field

from tessera.common.params import Section

Peer = Literal["puzzle", "depth", "width", "flap"]


class PeersParams(Section):
    """Peers with the same parent, cost target, budget, text, healing (puzzle.heal.equal) and evaluation."""

    target: str | None = Field(
        description="cost target whose budget all must meet; null for the first measured one, or else the first"
    )
    speedup: float = Field(gt=1, description="throughput of the blocks, in multiples of the parent's")
    methods: tuple[Peer, ...] = Field(min_length=1)
    repeats: int = Field(ge=1, description="rounds of the workload that are timed")


SECTIONS = {"peers": PeersParams}
