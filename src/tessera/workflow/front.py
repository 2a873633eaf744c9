"""What the report's first page shows in addition to figures: every claim with its verdict, and the hardware."""

from collections import Counter
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from tessera.workflow import readme
from tessera.workflow.claims import Verdict

#: How a verdict is shown; never by colour alone.
SIGNS = {"pass": "✓ pass", "fail": "✗ FAIL", "missing": "? missing"}


def claims(verdicts: list[Verdict]) -> str:
    """All claims as a table in HTML, failures as they are, with their counts."""
    counts: Counter[str] = Counter(verdict.status for verdict in verdicts)
    rows = [
        (
            verdict.study,
            verdict.claim.claim,
            verdict.claim.criterion,
            verdict.result,
            verdict.against,
            SIGNS[verdict.status],
        )
        for verdict in verdicts
    ]
    counted = ", ".join(f"{counts[status]} {status}" for status in SIGNS)
    return f"<p>{len(verdicts)} claims: {counted}.</p>\n" + _table(
        "claims", ("study", "claim", "criterion", "result", "null", "verdict"), rows
    )


def hardware(environment: dict[str, Any], benchmarks: str | Path, speed: dict[str, Any] | None = None) -> str:
    """The machine, the cost of all jobs by Snakemake's benchmark files, and where children were served, in HTML."""
    total = readme.compute(Path(benchmarks)).splitlines()[-1].strip("| ").split(" | ")
    rows = [
        ("processor", f"{environment['processor']}, {environment['cores']} cores"),
        ("memory", f"{environment['memory_gib']:g} GiB"),
        ("system", f"{environment['system']}, Python {environment['python']}"),
        ("jobs", f"{total[1]}, {total[2]} minutes together, at most {total[3]} MiB each"),
    ]
    for served in (speed or {"served": {}})["served"].values():
        rows.append(("children were served on", f"{served['hardware']}, {served['software']}, {served['dtype']}"))
    rows.append(("packages", ", ".join(f"{name} {version}" for name, version in environment["packages"].items())))
    return _table("hardware", ("", "of the machine that wrote this page"), rows)


def _table(name: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [f'<table id="{name}">', "<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in header) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "\n".join([*lines, "</table>\n"])
