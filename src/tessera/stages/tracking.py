"""Bring MLflow's database up to date with the run files, and list them."""

from pathlib import Path

from tessera.common import files, stage, tracking


def main(imported: Path) -> None:
    """Import all run files below the working directory; imported is the list of them."""
    new = tracking.sync()
    runs = sorted(map(str, Path().glob(tracking.RUN_FILES)))
    files.write_json(imported, runs)
    print(f"{len(runs)} runs, {new} of them new, in {tracking.DATABASE}; make ui shows them")


if __name__ == "__main__":
    stage.run(main)
