"""Write the provenance of the last run as an RO-Crate, and read it back."""

from pathlib import Path

from tessera.common import stage


def main(crate: Path) -> None:
    """Describe the working directory; crate is its ro-crate-metadata.json."""
    from tessera.workflow import crate as provenance
    from tessera.workflow import environment

    provenance.write(provenance.build(".", environment.describe()), crate)
    read = provenance.check(crate)
    print(f"{len(list(read.get_entities()))} entities in {crate}")


if __name__ == "__main__":
    stage.run(main)
