"""Draw the children on which predictions are tried: the search's, its next best, baselines', and random ones."""

from pathlib import Path

from tessera.common import files, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.search import SearchParams, block_library, draws
from tessera.puzzle.studies.validity.params import ValidityParams


class Params(Section):
    """The study, the search whose objective is tried, and the seed of the whole."""

    validity: ValidityParams
    search: SearchParams
    seed: int


def main(params: Params, libraries: list[Path], children: Path) -> None:
    """Write group -> rows of children; libraries lie one a target, in directories of their names."""
    settings, objective = params.validity, params.search.objective
    found = {path.parent.name: block_library.read(path) for path in libraries}
    target = settings.baselines.target
    if target not in found:
        raise ValueError(f"validity.baselines.target = {target!r}; valid are {', '.join(found)}")

    def generator(group: str):
        return randomness.generator(params.seed, "puzzle_validity", group)

    rows = {
        "mip": draws.optima(found, objective, settings.speedups),
        "diverse": draws.diverse(found, objective, settings.diverse),
        "baselines": draws.others(found[target], objective, settings.baselines, generator("baselines")),
    }
    for name, one in settings.random.items():
        rows[name] = draws.random(found[target], objective, name, one, generator(name))
    files.write_json(children, rows)


if __name__ == "__main__":
    stage.run(main)
