"""Spaces of integers and choices alone: no point is proposed a second time while others are untried."""

import numpy as np

from tessera.bayesopt.space import Space

#: Spaces of up to this many points are listed whole.
LISTED = 10_000
#: Neighbours that are drawn at a time in larger ones, and by how much each draw is wider than the one before.
DRAWN, WIDER = 64, 1.5


def untried(space: Space, tried: np.ndarray, row: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Rows (s, D) to choose from instead of row (D,): all that are not among the rows tried (n, D), or some near to it.

    None if row is as good as any: because it is untried, the space is infinite, or every point has been tried.
    """
    if space.size == np.inf:
        return None
    known = {other.tobytes() for other in tried}
    if row.tobytes() not in known or len(known) >= space.size:
        return None
    if space.size <= LISTED:
        return _new(space.rows(), known)
    spread = 1 / 256
    while True:
        rows = space.snap(np.clip(row + spread * rng.standard_normal((DRAWN, space.width)), 0.0, 1.0))
        # Steps far beyond the cube would end in its corners; from there on neighbours are uniform.
        rows = _new(rows if spread < 1 else space.uniform(DRAWN, rng), known)
        if len(rows):
            return rows
        spread *= WIDER


def _new(rows: np.ndarray, known: set[bytes]) -> np.ndarray:
    return rows[[row.tobytes() not in known for row in rows]]
