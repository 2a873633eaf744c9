"""The first search's children, and the pairs of variants that are to be trained together."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.search import SearchParams, block_library
from tessera.puzzle.studies.coupled.params import CoupledParams


class Params(Section):
    """The study, the space, and the search whose children's pairs survive."""

    coupled: CoupledParams
    space: Space
    search: SearchParams


def main(params: Params, libraries: list[Path], survivors: Path) -> None:
    """Write the children, and their pairs by layer; libraries are one per target, in directories of their names."""
    from tessera.puzzle.studies.coupled import search as coupled_search

    by_target = {path.parent.name: block_library.read(path) for path in libraries}
    children = coupled_search.first_search(by_target, params.search.objective, params.coupled)
    pairs = coupled_search.survivors(children, params.space)
    files.write_json(survivors, {"children": children, "pairs": pairs})


if __name__ == "__main__":
    stage.run(main)
