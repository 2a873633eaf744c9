"""Search a target's block library again, with coupled blocks in addition to the decoupled ones."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.puzzle.search import SearchParams, block_library
from tessera.puzzle.studies.coupled.params import CoupledParams


class Params(Section):
    """The study, and the search whose objective is kept."""

    coupled: CoupledParams
    search: SearchParams


def main(params: Params, target: str, scores: list[Path], first: Path, library: Path, children: Path) -> None:
    """Write the extension of the first search's block library, and the children at every speed-up."""
    from tessera.puzzle.studies.coupled import search as coupled_search

    decoupled = block_library.read(first)
    whole = {int(layer): blocks for path in scores for layer, blocks in files.read_json(path).items()}
    both = coupled_search.extended(decoupled, whole)
    files.write_json(library, both)
    rows = [
        row
        for speedup in params.coupled.speedups
        for row in coupled_search.second_search(decoupled, both, params.search.objective, target, speedup)
    ]
    files.write_json(children, rows)


if __name__ == "__main__":
    stage.run(main)
