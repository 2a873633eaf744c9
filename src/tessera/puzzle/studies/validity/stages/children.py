"""Draw the children on which predictions are tested: the search's, its next best, baselines', and random ones."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.puzzle.search import SearchParams
from tessera.puzzle.studies.validity.params import ValidityParams


class Params(Section):
    """The study, the search whose objective is tested, and the seed of the whole."""

    validity: ValidityParams
    search: SearchParams
    seed: int


def main(params: Params, target: str, libraries: list[Path], children: Path) -> None:
    """Write group -> rows of children; libraries are one per target, in directories of their names.

    target is the baselines'.
    """
    from tessera.puzzle.search import block_library
    from tessera.puzzle.studies.validity.children import drawn

    by_target = {path.parent.name: block_library.read(path) for path in libraries}
    files.write_json(children, drawn(by_target, params.search.objective, params.validity, target, params.seed))


if __name__ == "__main__":
    stage.run(main)
