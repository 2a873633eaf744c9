"""Check that the parent can have every variant of the search space, before anything is computed for it."""

from pathlib import Path

from tessera.common import files, stage
from tessera.puzzle.models.space import Space


def main(params: Space, parent: Path, admission: Path, checked: Path) -> None:
    """Write the kinds of variants that each is of; admission is what the parent's stage found.

    Raises ValueError, naming the key of params, if the parent cannot have one.
    """
    from tessera.puzzle.models import admission as admissions
    from tessera.puzzle.models import architecture

    admitted = admissions.Admission(**files.read_json(admission))
    admitted.check(params, architecture.read(parent).skeleton)
    named = {"attention": params.attention, "ffn": params.ffn}
    kinds = {place: {name: admissions.kinds(v) for name, v in of_place.items()} for place, of_place in named.items()}  # type: ignore[attr-defined]
    files.write_json(checked, kinds)


if __name__ == "__main__":
    stage.run(main)
