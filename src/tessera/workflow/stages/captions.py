"""Write the captions of the report."""

from pathlib import Path

from tessera.common import stage


def main(captions: Path) -> None:
    """Write one file per figure, table and text of every study into the folder captions."""
    from tessera.workflow import captions as of_reports

    of_reports.write(captions)


if __name__ == "__main__":
    stage.run(main)
