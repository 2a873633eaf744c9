"""Parts of the documents that are filled from files, so that no number in them is typed.

A part stands between the lines `<!-- NAME:begin -->` and `<!-- NAME:end -->`. NAME is the path of a file in Markdown,
such as reports/tables/balanced/summary.md, or `compute`: what Snakemake measured, in a study's README of its own rules.
What a part of a run measured does not replace what a whole one did.
"""

import errno
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tessera.common import code, files, markdown

#: Documents, relative to the repository.
DOCUMENTS = ("README.md", "docs/*.md", "data/README.md", "src/tessera/**/README.md")
COMPUTE = "compute"
BENCHMARKS = "logs/benchmarks"
#: A table of this share of the jobs of the one before, or less, is of a part of a run, and does not replace it.
LEAST = 0.5
#: What comes after the rules of the studies.
REST = "report and runs"


def documents(root: str | Path = ".") -> list[Path]:
    """Return the documents of the repository."""
    return [path for pattern in DOCUMENTS for path in sorted(Path(root).glob(pattern))]


def parts(text: str, path: str | Path) -> dict[str, str]:
    """Return the content of each part by name. Raises ValueError, naming file and part, if one does not end."""
    return {match["name"]: match["part"] for match in _matches(text, path)}


def replaced(text: str, name: str, content: str, path: str | Path = "README.md") -> str:
    """Return text with a part's content exchanged. Raises ValueError if there is no such part."""
    for match in _matches(text, path):
        if match["name"] == name:
            return text[: match.start("part")] + content.strip("\n") + "\n" + text[match.end("part") :]
    raise ValueError(
        f"{path}: no part {name}; expected <!-- {name}:begin --> ... <!-- {name}:end --> on separate lines"
    )


def _matches(text: str, path: str | Path) -> Iterator[re.Match[str]]:
    for mark in re.finditer(r"^<!-- (\S+):begin -->$", text, re.MULTILINE):
        name = re.escape(mark[1])
        match = re.compile(
            rf"<!-- (?P<name>{name}):begin -->\n(?P<part>.*?)^<!-- {name}:end -->$", re.DOTALL | re.MULTILINE
        )
        if not (found := match.match(text, mark.start())):
            raise ValueError(
                f"{path}: the part {mark[1]} does not end; expected <!-- {mark[1]}:end --> on its own line"
            )
        yield found


def update(root: str | Path = ".") -> list[str]:
    """Fill the parts of all documents from the files that are there; return the documents that changed.

    Raises FileNotFoundError if there are no results of any study.
    """
    root = Path(root)
    if not any(root.glob("reports/tables/*/*.md")):
        raise FileNotFoundError(errno.ENOENT, "no results; a run writes them", str(root / "reports/tables"))
    changed = []
    for path in documents(root):
        before = text = path.read_text(encoding="utf-8")
        for name, old in parts(text, path).items():
            content = _content(root, name, path.relative_to(root))
            if content is not None and not (name == COMPUTE and _jobs(content) < LEAST * _jobs(old)):
                text = replaced(text, name, content, path)
        if text != before:
            files.write_text(path, text)
            changed.append(path.relative_to(root).as_posix())
    return changed


def _content(root: Path, name: str, document: Path) -> str | None:
    """What fills a part of a document; None if there is nothing yet."""
    if name != COMPUTE:
        return (root / name).read_text(encoding="utf-8") if (root / name).is_file() else None
    package = Path("src", code.PACKAGE.name)
    study = code.study(code.PACKAGE / document.parent.relative_to(package)) if document.is_relative_to(package) else ""
    return compute(root / BENCHMARKS, study) if any((root / BENCHMARKS).glob(f"{study}*")) else None


def compute(benchmarks: Path, study: str = "") -> str:
    """Time and memory from Snakemake's benchmark files, as a table in Markdown: by rule of a study, or by study."""
    rows = []
    for path in sorted(benchmarks.rglob("*.tsv")):
        rule = path.relative_to(benchmarks).parts[0].removesuffix(".tsv")
        if rule.startswith(study):
            table = pd.read_csv(path, sep="\t", na_values="-")
            name = rule if study else _study(rule)
            rows.append({"name": name, "seconds": table["s"].sum(), "memory": table["max_rss"].max(), "jobs": 1})
    if not rows:
        raise ValueError(f"{benchmarks}: no benchmark files; a run writes them")
    table = pd.DataFrame(rows).groupby("name").agg({"jobs": "sum", "seconds": "sum", "memory": "max"})
    table = table.sort_values("seconds", ascending=False)
    lines = [(row.Index, row.jobs, row.seconds, row.memory) for row in table.itertuples()]
    lines.append(("all", table.jobs.sum(), table.seconds.sum(), table.memory.max()))
    cells = [(name, f"{jobs}", f"{seconds / 60:.1f}", f"{memory:.0f}") for name, jobs, seconds, memory in lines]
    header = ("rule" if study else "rules of", "jobs", "minutes of all jobs", "peak memory of one, MiB")
    return "\n".join(markdown.table(header, cells)).rstrip("\n") + "\n"


def _jobs(table: str) -> int:
    """Number of jobs in a table of `compute`; 0 if there is none."""
    found = re.search(r"^\| all \| (\d+) \|", table, re.MULTILINE)
    return int(found[1]) if found else 0


def _study(rule: str) -> str:
    """The study of a rule: the folder of rules with the longest name that the rule's begins with."""
    return max((name for name in code.studies() if rule.startswith(name)), key=len, default=REST)
