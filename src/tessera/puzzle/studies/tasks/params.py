"""Parameters of the study of the children's task accuracy, of the text that they write, and of latency."""

from typing import Annotated, Any, get_args

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from tessera.common.params import Section
from tessera.data.params import OwnItems, TaskSet
from tessera.puzzle.search_params import Method

#: Of a known set its most items, of one of your own its files.
Items = Annotated[
    Annotated[int, Tag("known set")] | Annotated[OwnItems, Tag("own set")],
    Discriminator(lambda value: "own set" if isinstance(value, dict | OwnItems) else "known set"),
]


class SamplesParams(Section):
    """Text that parent and children write after the beginnings of test documents."""

    sources: tuple[str, ...] = Field(min_length=1, description="a document of each begins a text")
    prompt: int = Field(ge=1, description="tokens of the document that are given")
    tokens: int = Field(ge=1, description="tokens that are written")
    temperature: float = Field(gt=0, description="of the drawn text; the other is greedy")


class TasksParams(Section):
    """Children against their parent on items with several choices."""

    groups: dict[str, dict[str, Items]] = Field(
        min_length=1,
        description="most items of each set, by group, or files: [...] of a set of your own (docs/own-text.md): every "
        "second item chooses metric and sets, the others are reported",
    )
    characters: int = Field(ge=1, description="longer items, prompt and choices together, are left out")
    margin: float = Field(
        ge=0, description="standard errors by which the parent must be above chance for a set to count"
    )
    methods: tuple[Method, ...] = Field(description="whose children are asked, after equal healing")
    bootstrap: int = Field(ge=100, description="draws of each interval")
    samples: SamplesParams
    repeats: int = Field(ge=1, description="rounds of the workload in which the time of every token is taken")

    @field_validator("groups", mode="before")
    @classmethod
    def _without_null(cls, groups: Any) -> Any:
        """Null removes a group or set of a lower layer."""
        if not isinstance(groups, dict):
            return groups
        kept = {name: sets for name, sets in groups.items() if sets is not None}
        return {
            name: {task_set: count for task_set, count in sets.items() if count is not None}
            if isinstance(sets, dict)
            else sets
            for name, sets in kept.items()
        }

    @property
    def own(self) -> dict[str, OwnItems]:
        """Sets of your own, by name."""
        return {n: items for sets in self.groups.values() for n, items in sets.items() if isinstance(items, OwnItems)}

    @model_validator(mode="after")
    def _sets(self) -> "TasksParams":
        names = [name for sets in self.groups.values() for name in sets]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)}: in more than one group; expected one")
        known = get_args(TaskSet)
        for name, items in ((name, items) for sets in self.groups.values() for name, items in sets.items()):
            if isinstance(items, OwnItems) and name in known:
                raise ValueError(f"{name}: the name of a known set; expected another for one of your own")
            if isinstance(items, int) and name not in known:
                raise ValueError(
                    f"{name}: unknown set; expected one of {', '.join(known)}, or files: [...] for your own"
                )
        counts = {name: n for sets in self.groups.values() for name, n in sets.items() if isinstance(n, int)}
        if few := [name for name, count in counts.items() if count < 4]:
            raise ValueError(f"{', '.join(few)}: expected at least 4 items, two to choose by and two to report")
        return self


SECTIONS = {"tasks": TasksParams}
