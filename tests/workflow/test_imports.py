"""Imports run one way, so that a study can be read, copied or deleted by its folder alone.

In a study: stages -> report -> science. From a study: common, neurons and data. No study imports another, and a side
study imports its study and no other side study. Only stages and the command line know the workflow.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from tessera import balanced, neurons, tempotron, tsvm
from tessera.common import code

#: Folders that studies share.
SHARED = ("common", "neurons", "data")
#: What science knows nothing of.
FOREIGN = ("argparse", "dvc", "matplotlib", "mlflow", "snakemake", "typer")
#: Commands for people, which may import anything of their study.
COMMANDS = ("cli.py", "model_cli.py", "compress_cli.py", "chat_cli.py", "harness_cli.py", "export_cli.py")

FILES = sorted(code.PACKAGE.rglob("*.py"))


@cache
def imports(path: Path) -> list[tuple[int, str]]:
    """Line and dotted name of everything that a module imports, also within functions, but not for types alone."""
    name = code.module(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    nodes = (node for node in code._executed(ast.parse(path.read_bytes())) if hasattr(node, "names"))
    return [(getattr(node, "lineno", 0), name) for node in nodes for name in code._names(node, package)]


def place(module: str) -> tuple[str, str]:
    """The study of a module, with that of a side study behind a slash, and the part: stages, report or science.

    The study of what is no study is its folder, or empty for modules of the package itself.
    """
    parts = module.split(".")[1:]
    study = parts[0] if parts and (code.PACKAGE / parts[0]).is_dir() else ""
    inner = parts[1:]
    if inner[:1] == ["studies"] and len(inner) > 1 and (code.PACKAGE / study / "studies" / inner[1]).is_dir():
        study, inner = f"{study}/{inner[1]}", inner[2:]
    return study, inner[0] if inner and inner[0] in ("stages", "report") else "science"


def ours(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Line, name, study and part of the modules of this package that a module imports."""
    for line, name in imports(path):
        module = name if code._file(name, code.ROOT) else name.rpartition(".")[0]
        if module.startswith("tessera.") and code._file(module, code.ROOT):
            yield line, module, *place(module)


def wrong(forbidden: Callable[[Path, str, str, str], bool]) -> list[str]:
    """Imports of this package's modules that are forbidden, by the file, and the name, study and part of the import."""
    return sorted(
        {
            f"{path.relative_to(code.ROOT.parent)}:{line} imports {name}"
            for path in FILES
            for line, name, study, part in ours(path)
            if forbidden(path, name, study, part)
        }
    )


def test_studies_are_apart() -> None:
    def forbidden(path: Path, name: str, other: str, part: str) -> bool:
        study, _ = place(code.module(path))
        if study in ("", "workflow") or path.name in COMMANDS or other in ("", study, "workflow", *SHARED):
            return study in ("common", "neurons") and other not in ("", study, "common", "workflow")
        return other != study.split("/")[0]

    assert not (faults := wrong(forbidden)), "\n".join(faults)


def test_a_study_imports_none_of_its_side_studies() -> None:
    def forbidden(path: Path, name: str, other: str, part: str) -> bool:
        return "/" in other and place(code.module(path))[0] == other.split("/")[0]

    assert not (faults := wrong(forbidden)), "\n".join(faults)


def test_stages_then_report_then_science() -> None:
    order = ("science", "report", "stages")

    def forbidden(path: Path, name: str, other: str, part: str) -> bool:
        study, own = place(code.module(path))
        return study not in ("", "workflow") and order.index(part) > order.index(own)

    assert not (faults := wrong(forbidden)), "\n".join(faults)


def test_the_workflow_is_known_to_stages_and_commands_alone() -> None:
    def forbidden(path: Path, name: str, other: str, part: str) -> bool:
        study, own = place(code.module(path))
        return other == "workflow" and study not in ("", "workflow") and own != "stages" and path.name not in COMMANDS

    assert not (faults := wrong(forbidden)), "\n".join(faults)


def test_science_is_pure() -> None:
    def pure(path: Path) -> bool:
        study, part = place(code.module(path))
        return study not in ("", "workflow", "common") and part == "science" and path.name not in COMMANDS

    impure = {
        f"{path.relative_to(code.ROOT.parent)}:{line} imports {name}"
        for path in filter(pure, FILES)
        for line, name in imports(path)
        if name.split(".")[0] in FOREIGN
    }
    assert not impure, "\n".join(sorted(impure))


def test_public_names_are_imported_from_where_they_are_defined() -> None:
    """A package loads them when they are asked for, so that its imports do not show the files behind them."""
    packages = {"tessera.neurons": neurons, "tessera.tempotron": tempotron, "tessera.tsvm": tsvm}
    packages |= {"tessera.balanced": balanced}
    public = {f"{name}.{public}" for name, package in packages.items() for public in package.__all__}
    found = {
        f"{path.relative_to(code.ROOT.parent)}:{line} imports {name}"
        for path in FILES
        for line, name in imports(path)
        if name in public
    }
    assert not found, "\n".join(sorted(found))


def test_no_module_next_to_rules_hides_one_of_the_standard_library() -> None:
    """Snakemake puts the folders of rules in front of sys.path."""
    folders = [path.parent for path in code.PACKAGE.rglob("rules.smk")]
    assert folders
    modules = {path.stem: path for folder in folders for path in folder.glob("*.py")}
    assert not [str(modules[name]) for name in modules.keys() & sys.stdlib_module_names]


def test_the_parts_of_a_module() -> None:
    assert place("tessera.balanced.stages.lif") == ("balanced", "stages")
    assert place("tessera.balanced.theory") == ("balanced", "science")
    assert place("tessera.puzzle.studies.peers.report.figures") == ("puzzle/peers", "report")
    assert place("tessera.puzzle.studies.params") == ("puzzle", "science")
    assert place("tessera.cli") == ("", "science")
