"""Parts of the README and the documents that are made from files, so that no number in them is typed.

A part stands between `<!-- NAME:begin ... -->` and `<!-- NAME:end -->`.
"""

import errno
import re
from pathlib import Path

import pandas as pd

from tessera.common import files

#: Parts of each document.
DOCUMENTS = {
    "README.md": ("results", "balanced", "tsvm", "compute"),
    "docs/puzzle.md": ("compute",),
    "docs/tempotron.md": ("tempotron", "compute"),
    "docs/balanced.md": ("balanced-results", "compute"),
    "docs/bayesopt.md": (
        "bayesopt",
        "bayesopt-verdict",
        "bayesopt-ablations",
        "bayesopt-noise",
        "bayesopt-sixteen",
        "bayesopt-single",
        "compute",
    ),
    "docs/tsvm.md": ("tsvm-results", "compute"),
}
#: Parts that are filled from a study's table. The part compute is filled from what Snakemake measured: in a study's
#: document, docs/STUDY.md, of the study's own rules.
RESULTS = {
    "results": "reports/tables/puzzle/results.md",
    "tempotron": "reports/tables/tempotron/results.md",
    "balanced": "reports/tables/balanced/summary.md",
    "balanced-results": "reports/tables/balanced/results.md",
    "bayesopt": "reports/tables/bayesopt/results.md",
    "bayesopt-verdict": "benchmarks/bayesopt_suite_verdict.md",
    **{
        f"bayesopt-{suite}": f"reports/tables/bayesopt_{suite}/results.md"
        for suite in ("ablations", "noise", "sixteen", "single")
    },
    "tsvm": "reports/tables/tsvm/summary.md",
    "tsvm-results": "reports/tables/tsvm/results.md",
}
BENCHMARKS = "logs/benchmarks"
RULES = "workflow/rules"


def part(text: str, name: str, path: str | Path = "README.md") -> str:
    """Return what stands between the marks of a part. Raises ValueError, naming file and part, where there are none."""
    return _match(text, name, path).group("part")


def replaced(text: str, name: str, content: str, path: str | Path = "README.md") -> str:
    """Return text with the part's content exchanged."""
    found = _match(text, name, path)
    return text[: found.start("part")] + content.strip("\n") + "\n" + text[found.end("part") :]


def _match(text: str, name: str, path: str | Path) -> re.Match[str]:
    found = re.search(rf"<!-- {name}:begin[^>]*-->\n(?P<part>.*?)<!-- {name}:end -->", text, re.DOTALL)
    if found is None:
        raise ValueError(f"{path}: no part {name}; valid is <!-- {name}:begin --> ... <!-- {name}:end --> on own lines")
    return found


def update(root: str | Path = ".") -> list[str]:
    """Fill the parts of all documents from the files that are there; return the documents that changed.

    Raises FileNotFoundError where there are no results of any study.
    """
    root = Path(root)
    contents = {name: (root / path).read_text("utf-8") for name, path in RESULTS.items() if (root / path).is_file()}
    if not contents:
        raise FileNotFoundError(errno.ENOENT, "no results; they are there after a run", str(root / "reports/tables"))
    benchmarks = root / BENCHMARKS
    changed = []
    for name, parts in DOCUMENTS.items():
        path = root / name
        study = path.stem if path.parent.name == "docs" else ""
        own = dict(contents)
        if any(benchmarks.glob(f"{study}*")):
            own["compute"] = compute(benchmarks, study, root / RULES)
        before = text = path.read_text(encoding="utf-8")
        for one in parts:
            if one in own:
                text = replaced(text, one, own[one], path)
        if text != before:
            files.write_text(path, text)
            changed.append(name)
    return changed


def compute(benchmarks: Path, study: str = "", rules: str | Path = RULES) -> str:
    """Time and memory from Snakemake's benchmark files, as a table in Markdown: of a study's rules, or of all groups.

    A group is a study, or a target of its own: all that is named after one file of rules.
    """
    groups = [path.stem for path in Path(rules).glob("*.smk")]
    rows = []
    for path in sorted(benchmarks.rglob("*.tsv")):
        rule = path.relative_to(benchmarks).parts[0].removesuffix(".tsv")
        if not rule.startswith(study):
            continue
        table = pd.read_csv(path, sep="\t", na_values="-")
        name = rule if study else _group(rule, groups)
        rows.append({"name": name, "seconds": table["s"].sum(), "memory": table["max_rss"].max(), "jobs": 1})
    if not rows:
        raise ValueError(f"{benchmarks}: no benchmark files; they are there after a run")
    table = pd.DataFrame(rows).groupby("name").agg({"jobs": "sum", "seconds": "sum", "memory": "max"})
    table = table.sort_values("seconds", ascending=False)
    kind = "rule" if study else "rules of"
    lines = [f"| {kind} | jobs | minutes of all jobs | peak memory of one, MiB |", "|---|---:|---:|---:|"]
    lines += [f"| {r.Index} | {r.jobs} | {r.seconds / 60:.1f} | {r.memory:.0f} |" for r in table.itertuples()]
    lines.append(f"| all | {table.jobs.sum()} | {table.seconds.sum() / 60:.1f} | {table.memory.max():.0f} |")
    return "\n".join(lines) + "\n"


def _group(rule: str, groups: list[str]) -> str:
    """The longest of the groups that a rule's name begins with, or else the rest."""
    return max((one for one in groups if rule.startswith(one)), key=len, default="report and runs")
