"""Parameters of scores by task accuracy."""

from typing import Any

from pydantic import Field, field_validator

from tessera.common.params import Section


class TaskScoresParams(Section):
    """Replace-one-block scores on task items, and the child that the program chooses by their sum."""

    jobs: int = Field(gt=0, description="jobs that share the layers, every jobs-th layer each")
    items: dict[str, int] = Field(
        min_length=1,
        description="items of each set of tasks.groups, of the half that chooses, which is every second one",
    )
    target: str | None = Field(
        description="cost target whose budget all children meet; null for the first measured one, or else the first"
    )
    speedup: float = Field(gt=1, description="throughput of the blocks, in multiples of the parent's")

    @field_validator("items", mode="before")
    @classmethod
    def _without_null(cls, items: Any) -> Any:
        """Null removes a set of a lower layer."""
        return {name: n for name, n in items.items() if n is not None} if isinstance(items, dict) else items

    @field_validator("items")
    @classmethod
    def _some(cls, items: dict[str, int]) -> dict[str, int]:
        if few := [name for name, count in items.items() if count < 2]:
            raise ValueError(f"{', '.join(few)}: expected at least 2 items")
        return items


SECTIONS = {"task_scores": TaskScoresParams}
