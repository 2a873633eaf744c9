"""The study's result file, read once, for its table and figure."""

from dataclasses import dataclass

from tessera.common.files import Json
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.studies.gpus.params import GpusParams


@dataclass(frozen=True)
class Results:
    """The child of every shape, GPU and type."""

    params: GpusParams
    choices: list[Json]

    @property
    def shapes(self) -> list[str]:
        """Shapes, the parent's first."""
        return list(dict.fromkeys(choice["shape"] for choice in self.choices))

    def found(self, shape: str) -> list[Json]:
        """Children of a shape that there are."""
        return [choice for choice in self.choices if choice["shape"] == shape and choice["value"] is not None]

    def variants(self, subblock: str) -> list[str]:
        """All variants of a subblock, the parent's first."""
        names = {name for choice in self.choices for name in choice["times"].get(subblock, {})}
        return [PARENT, *sorted(names - {PARENT})]
