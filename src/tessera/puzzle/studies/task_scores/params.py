"""Parameters of scores by task accuracy."""

from typing import Any

from pydantic import Field, field_validator

from tessera.common.params import Section
from tessera.puzzle.studies.tasks.params import TaskSet


class TaskScoresParams(Section):
    """Replace-one-block scores on task items, and the child that the program chooses by their sum."""

    jobs: int = Field(gt=0, description="jobs that share the layers, every jobs-th layer each")
    items: dict[TaskSet, int] = Field(
        min_length=1, description="items of each set, of the half that chooses; sets are those of tasks.groups"
    )
    target: str = Field(description="cost target whose budget all children keep")
    speedup: float = Field(gt=1, description="throughput of the blocks, in multiples of the parent's")

    @field_validator("items", mode="before")
    @classmethod
    def _without_null(cls, items: Any) -> Any:
        """Null takes a set of a lower layer away."""
        return {name: n for name, n in items.items() if n is not None} if isinstance(items, dict) else items

    @field_validator("items")
    @classmethod
    def _some(cls, items: dict[TaskSet, int]) -> dict[TaskSet, int]:
        if few := [name for name, count in items.items() if count < 2]:
            raise ValueError(f"{', '.join(few)}: valid are 2 items or more")
        return items


SECTIONS = {"task_scores": TaskScoresParams}
