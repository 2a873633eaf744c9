"""Parameters of the studies around the main chain, which are not part of the default run."""

from tessera.common.params import Section
from tessera.puzzle.ablations_params import AblationsParams
from tessera.puzzle.coupled_params import CoupledParams
from tessera.puzzle.evolution_params import EvolutionParams
from tessera.puzzle.peers_params import PeersParams
from tessera.puzzle.tasks_params import TasksParams
from tessera.puzzle.validity_params import ValidityParams


class PuzzleStudiesParams(Section):
    """Whether the predictions hold, and what else could have been done."""

    validity: ValidityParams
    peers: PeersParams
    ablations: AblationsParams
    tasks: TasksParams
    evolution: EvolutionParams
    coupled: CoupledParams
