"""Parameters of the studies around the main chain, which are not part of the default run."""

from typing import Self

from pydantic import model_validator

from tessera.common.params import Section
from tessera.puzzle.studies.ablations.params import AblationsParams
from tessera.puzzle.studies.coupled.params import CoupledParams
from tessera.puzzle.studies.evolution.params import EvolutionParams
from tessera.puzzle.studies.peers.params import PeersParams
from tessera.puzzle.studies.task_scores.params import TaskScoresParams
from tessera.puzzle.studies.tasks.params import TasksParams
from tessera.puzzle.studies.validity.params import ValidityParams


class PuzzleStudiesParams(Section):
    """Whether the predictions hold, and what else could have been done."""

    validity: ValidityParams
    peers: PeersParams
    ablations: AblationsParams
    tasks: TasksParams
    task_scores: TaskScoresParams
    evolution: EvolutionParams
    coupled: CoupledParams

    @model_validator(mode="after")
    def _scored_items_are_drawn(self) -> Self:
        drawn = {name: count for sets in self.tasks.groups.values() for name, count in sets.items()}
        for name, count in self.task_scores.items.items():
            half = (drawn.get(name, 0) + 1) // 2
            if count > half:
                raise ValueError(f"task_scores.items.{name} = {count}: tasks.groups draws {half} that choose")
        return self
