"""How far to go along a refit or a healing: to where the child's KL on validation text is least.

Both follow other losses than the KL, on other text, and healing in small batches is noisy as well: near its parent a
child is often carried past the best place, or away from it. On the way from the weights before, w_0, to those after,
w_1, the gain is linear at first and the harm of the noise square, so KL(w_0 + a (w_1 - w_0)) is close to a parabola of
the share a. It is measured at 0, 1/2 and 1 and at the parabola's lowest place; the best of these is kept, so that
neither does harm on this text. Derived here; not in the paper.
"""

from typing import Any

import torch

from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.scores.reference import Reference

#: The way is gone on with by half at most.
FARTHEST = 1.5


@torch.no_grad()
def best(reference: Reference, before: LanguageModel, after: LanguageModel) -> tuple[LanguageModel, dict[str, Any]]:
    """The child of least KL to a parent on the reference's text, on the way from one child to another of its shape.

    It is one of the two models, whose weights are changed. The record has the KL in nats per token: `before`; `after`,
    of the whole way; `kept`, of what is kept; and its `share` of the way, 0 if the step is taken back.
    """
    start, end = ({name: w.clone() for name, w in model.network.state_dict().items()} for model in (before, after))

    def go(share: float) -> None:
        # Weights alone are mixed; what is counted in integers is the same in both.
        mixed = {n: w + share * (end[n] - w) if w.is_floating_point() else end[n] for n, w in start.items()}
        after.network.load_state_dict(mixed)

    def at(share: float) -> float:
        go(share)
        return float(reference.measure(after)["kl_div"])

    kl = {0.0: float(reference.measure(before)["kl_div"]), 0.5: at(0.5), 1.0: at(1.0)}
    if (lowest := _lowest(*kl.values())) is not None:
        kl[lowest] = at(lowest)
    share = min((a for a in kl if kl[a] == kl[a]), key=lambda a: (kl[a], a))  # not a KL that is NaN
    record = {"before": kl[0.0], "after": kl[1.0], "kept": kl[share], "share": share}
    if not share:
        return before, record
    go(share)
    return after, record


def _lowest(start: float, middle: float, end: float) -> float | None:
    """Where the parabola through the values at 0, 1/2 and 1 is lowest, within FARTHEST; None if it is nowhere."""
    square = 2 * (start + end - 2 * middle)
    slope = end - start - square
    if not square > 0 or not slope < 0:
        return None
    return min(FARTHEST, -slope / (2 * square))


def words(step: str, record: dict[str, Any]) -> str:
    """What became of a step, in one line."""
    fate = f"kept {record['share']:.2f} of the way, {record['kept']:.4f}" if record["share"] else "taken back"
    return f"{step}: KL on validation text {record['before']:.4f} before, {record['after']:.4f} after; {fate}"
