"""Write what the report's first page includes: claims with their verdicts, and the hardware."""

from pathlib import Path

from tessera.common import files, stage


def main(claims: Path, speed: Path, verdicts: Path, hardware: Path) -> None:
    """Check the claims against the results of the working directory; verdicts and hardware are HTML."""
    from tessera.workflow import environment, front, readme
    from tessera.workflow.claims import verify

    files.write_text(verdicts, front.claims(verify(claims=claims)))
    machine = environment.describe(claims.parents[1] / "requirements.lock")
    files.write_text(hardware, front.hardware(machine, readme.BENCHMARKS, files.read_json(speed)))


if __name__ == "__main__":
    stage.run(main)
