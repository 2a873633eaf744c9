"""Check every claim against the result files of the working directory."""

from pathlib import Path

from tessera.common import files, stage


def main(claims: Path, table: Path) -> None:
    """Write the claims with what was wanted, what was found and whether it holds, as a table in Markdown."""
    from tessera.workflow.claims import table as to_table
    from tessera.workflow.claims import verify

    files.write_text(table, to_table(verify(claims=claims)))


if __name__ == "__main__":
    stage.run(main)
