"""Parameters of the studies around the main chain, which are not part of the default run: `puzzle_studies`."""

from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from tessera.common import params
from tessera.common.params import Section
from tessera.puzzle.serve.params import ExportParams


class _Studies(Section):
    """Whether the predictions hold, and what else could have been done."""

    @model_validator(mode="after")
    def _scored_items_are_drawn(self) -> Self:
        studies: Any = self  # its fields are gathered below
        drawn = {name: count for sets in studies.tasks.groups.values() for name, count in sets.items()}
        for name, count in studies.task_scores.items.items():
            half = (drawn.get(name, 0) + 1) // 2
            if count > half:
                raise ValueError(f"task_scores.items.{name} = {count}: tasks.groups draws {half} that choose")
        return self


class _Extras(Section):
    """What accompanies the main chain: `puzzle_extras`."""

    export: ExportParams


_ALL = sorted(Path(__file__).parent.glob("*/params.py"))
#: Studies of the default run, whose sections are in `puzzle_extras`.
_EXTRAS = [path for path in _ALL if path.parent.name in ("cost_validation", "gpus", "sensitivity")]

SECTIONS = {
    "puzzle_extras": params.gathered("PuzzleExtrasParams", _Extras, _EXTRAS),
    "puzzle_studies": params.gathered("PuzzleStudiesParams", _Studies, [path for path in _ALL if path not in _EXTRAS]),
}
