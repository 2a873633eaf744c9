"""Bring MLflow's database up to date with the run files, save the views in which to compare them, and list the runs."""

from pathlib import Path

from tessera.common import files, run_files, stage
from tessera.workflow import tracking


def main(imported: Path) -> None:
    """Import all run files below the working directory; imported is the list of them."""
    from tessera.workflow import views

    try:
        new = tracking.sync()
    finally:  # a run file that is refused does not keep the others from being looked at
        views.save()
    runs = sorted(map(str, Path().glob(run_files.RUN_FILES)))
    files.write_json(imported, runs)
    print(f"{len(runs)} runs, {new} of them new, in {tracking.DATABASE}; make ui shows them")


if __name__ == "__main__":
    stage.run(main)
