"""Correct summed scores by the interactions of exchanges, and search for the optimum again."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.puzzle.search import SearchParams
from tessera.puzzle.studies.validity.params import ValidityParams


class Params(Section):
    """The study, and the search whose optimum is tested."""

    validity: ValidityParams
    search: SearchParams


def main(
    params: Params,
    groups: list[Path],
    scores: list[Path],
    gram: Path,
    libraries: list[Path],
    correction: Path,
    children: Path,
) -> None:
    """Write the fit with its cross-validation, and the new optima as rows of children, {"corrected": rows}.

    groups are the measured groups of children; libraries are one per target, in directories of their names.
    """
    from tessera.puzzle.search import block_library
    from tessera.puzzle.studies.validity import correction as science

    by_layer = {int(layer): parts for path in scores for layer, parts in files.read_json(path).items()}
    rows = [row for path in groups for row in files.read_json(path)]
    forms, predicted = science.corrected(by_layer, files.read_npy(gram), rows, params.validity.correction.most)
    by_target = {path.parent.name: block_library.read(path) for path in libraries}
    optima = science.optima(forms, by_target, params.search.objective, params.validity)
    files.write_json(correction, predicted)
    files.write_json(children, {"corrected": optima})


if __name__ == "__main__":
    stage.run(main)
