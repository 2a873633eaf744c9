"""Every command in the documents works, every link leads somewhere, and every failed claim is listed."""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from trees import ROOT, isolated
from typer.testing import CliRunner

from tessera import params
from tessera.cli import app
from tessera.workflow import claims, readme

DOCUMENTS = readme.documents(ROOT)
#: Names in capitals stand for the reader's own.
STAND_INS = {"STUDY": "tempotron", "TARGET": "tempotron"}


def commands(path: Path) -> list[str]:
    """Commands in the text and in blocks of shell commands, without comments."""
    text = path.read_text()
    inline = re.findall(
        r"`((?:make|snakemake|tessera|dvc|python -m) [^`]+)`",
        re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE),
    )
    inline = [" ".join(command.split()) for command in inline]
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = (re.sub(r"\s+#.*| &$", "", line).strip() for block in blocks for line in block.splitlines())
    return [*inline, *(line for line in lines if line and not line.startswith("#"))]


COMMANDS = sorted({command for path in DOCUMENTS for command in commands(path)})


@cache
def output(*command: str) -> str:
    """What a command prints; it must end well."""
    done = subprocess.run(
        command, cwd=ROOT, env=isolated(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}"
    return done.stdout


def check_make(words: list[str]) -> None:
    output("make", "-n", *words)


def check_snakemake(words: list[str]) -> None:
    """Targets are rules, options are Snakemake's, profiles are there. Plans of targets are tried by test_dag."""
    rules = output(sys.executable, "-m", "snakemake", "--list-rules").split()
    known = output(sys.executable, "-m", "snakemake", "--help")
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("-"):
            assert re.search(rf"(^|[\s,|]){re.escape(word.split('=')[0])}\b", known), f"snakemake has no {word}"
        if word == "--profile":
            assert (ROOT / following).is_dir()
    if not any(word.startswith("--") for word in words):
        targets = [STAND_INS.get(word, word) for word in words if not word.startswith("-")]
        assert set(targets) <= set(rules)


def check_tessera(words: list[str]) -> None:
    """The command is there, and has the options."""
    names = words[:2] if words[0] in ("puzzle", "params") else words[:1]
    shown = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"})
    assert shown.exit_code == 0, shown.output
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.output, f"{' '.join(names)} has no {option}"


def check_dvc(words: list[str]) -> None:
    """The command is there, has the options, and -S changes parameters that are."""
    names = words[:2] if words[0] in ("exp", "queue", "remote", "params", "plots", "metrics") else words[:1]
    shown = output(sys.executable, "-m", "dvc", *names, "--help")
    for option in (word for word in words if word.startswith("-")):
        assert re.search(rf"(^|[\s,]){re.escape(option)}\b", shown), f"dvc {' '.join(names)} has no {option}"
    if "-S" in words:
        key = words[words.index("-S") + 1].split("=")[0]
        assert params.section(params.load(ROOT / "params.yaml"), key) is not None


def check_activate(words: list[str]) -> None:
    """It is that of the environment that make makes."""
    assert words == [".venv/bin/activate"] and "VENV := .venv\n" in (ROOT / "Makefile").read_text()


def check_python(words: list[str]) -> None:
    """The module or script is there, and shows its help with the options; code prints something."""
    if words[0] == "-c":
        assert output(sys.executable, *words[:2])
        return
    if words[0] != "-m":
        assert (ROOT / words[0]).is_file()
        return
    shown = output(sys.executable, "-m", words[1], "--help")
    for option in (word for word in words[2:] if word.startswith("--")):
        assert option in shown, f"{words[1]} has no {option}"


def check_pip(words: list[str]) -> None:
    """Extras are declared and files are there; nothing is installed."""
    declared = (ROOT / "pyproject.toml").read_text()
    for word in words:
        if found := re.fullmatch(r"\.\[(\w+)\]", word):
            assert f"\n{found.group(1)} = [" in declared
        elif found := re.fullmatch(r"dvc\[(\w+)\]==(.*)", word):
            assert f'{found.group(1)} = ["{word}"]' in declared
        elif word.endswith(".txt"):
            assert (ROOT / word).is_file()


CHECKS = {
    "make": check_make,
    "snakemake": check_snakemake,
    "tessera": check_tessera,
    "dvc": check_dvc,
    "python": check_python,
    "pip": check_pip,
    ".": check_activate,
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str) -> None:
    """A command that nobody knows how to check is a failure: add how."""
    words = shlex.split(command)
    while "=" in words[0]:  # variables before a command
        del words[0]
    assert words[0] in CHECKS, f"{command}: valid are commands of {', '.join(CHECKS)}"
    CHECKS[words[0]](words[1:])


def anchors(path: Path) -> set[str]:
    """Anchors of a document's headings, as GitHub makes them."""
    heads = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", path.read_text()):
        target, _, anchor = link.partition("#")
        if re.match(r"\w+://|mailto:", target) or "reports/" in target:  # reports are there after a run
            continue
        place = (path.parent / target) if target else path
        assert place.exists(), f"{path.name}: {target} is not there"
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place), f"{path.name}: {link}: no such heading"


def test_failed_claims_are_told() -> None:
    told = (ROOT / "docs/negative-results.md").read_text()
    results = claims.verify(ROOT)
    failed = {f"{one.study} `{one.name}`" for one in results if one.status == "fail"}
    table = told.split("## Claims that fail")[1].split("\n## ")[0]
    named = {f"{one.study} `{one.name}`" for one in results if f"{one.study} `{one.name}`" in table}
    assert named == failed, "claims that fail, and those that docs/negative-results.md calls so"
