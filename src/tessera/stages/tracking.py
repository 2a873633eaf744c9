"""Bring MLflow's database up to date with the run files, and list what it holds of them."""

from pathlib import Path

from tessera.common import files, stage, tracking


def main(runs: list[Path], imported: Path) -> None:
    """Import the run files; imported, the list of them, is there so that the rule has something to show."""
    new = tracking.sync(paths=runs)
    files.write_json(imported, sorted(map(str, runs)))
    print(f"{len(runs)} runs, {new} of them new, in {tracking.DATABASE}; make ui shows them")


if __name__ == "__main__":
    stage.run(main)
