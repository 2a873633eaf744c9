"""Whether a refit or a healing made a child better, by its KL on validation text; if not, it is taken back.

Both follow other losses than the KL, on other text: where a child is close to its parent already, that can do harm.
Derived here; not in the paper.
"""

from typing import Any

from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.scores.reference import Reference


def better(reference: Reference, before: LanguageModel, after: LanguageModel) -> tuple[LanguageModel, dict[str, Any]]:
    """The child of lower KL to a parent on the reference's text, that before unless the other's is lower.

    The record has the two KL, `before` and `after` in nats per token, and whether that after is `kept`.
    """
    kl = {name: reference.measure(model)["kl_div"] for name, model in (("before", before), ("after", after))}
    kept = kl["after"] < kl["before"]
    return after if kept else before, kl | {"kept": kept}


def words(step: str, record: dict[str, Any]) -> str:
    """What became of a step, in one line."""
    fate = "kept" if record["kept"] else "taken back"
    return f"{step}: KL on validation text {record['before']:.4f} before, {record['after']:.4f} after; {fate}"
