"""Critical loads and margins of balanced networks, predicted by theory."""

from pathlib import Path

from tessera.balanced.params import MarginParams, TheoryParams
from tessera.common import files, stage
from tessera.common.params import Section


class Params(Section):
    """The curves, and the set of the margin curves."""

    theory: TheoryParams
    margins: MarginParams


def main(params: Params, curves: Path) -> None:
    """Write the curves."""
    from tessera.balanced import experiments

    files.write_json(curves, experiments.theory_curves(params.theory, params.margins))


if __name__ == "__main__":
    stage.run(main)
