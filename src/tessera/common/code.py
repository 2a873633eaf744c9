"""The package's own code, read without importing it: the modules of stages, their arguments, and what they run.

Rules take the files that a stage runs as inputs, so that the content of the code, and not its date, decides what runs
again.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parent
#: Folders that group others and give their stages no name of their own.
UNNAMED = ("studies", "workflow")


def module(path: str | Path) -> str:
    """Return the dotted name of a file of the package."""
    parts = Path(path).relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def study(folder: Path) -> str:
    """Return the name of a study's folder, with which those of its rules begin: puzzle_peers of puzzle/studies/peers.

    That of the package itself, and of the folders that name nothing, is empty.
    """
    return "_".join(part for part in folder.relative_to(PACKAGE).parts if part not in UNNAMED)


def studies() -> set[str]:
    """Return the names of all folders that have rules: the studies, side studies and data."""
    return {study(path.parent) for path in PACKAGE.rglob("rules.smk")} - {""}


@cache
def stages() -> dict[str, str]:
    """Return the module of each stage by its name, which is also that of its rule.

    The stage of tessera/tempotron/stages/findable.py is tempotron_findable, that of
    tessera/puzzle/studies/peers/stages/child.py puzzle_peers_child, that of tessera/workflow/stages/claims.py claims.
    """
    return {
        "_".join(filter(None, [study(path.parents[1]), path.stem])): module(path)
        for path in sorted(PACKAGE.rglob("stages/*.py"))
        if path.stem != "__init__"
    }


def stage(name: str) -> str:
    """Return the module of a stage. Raises ModuleNotFoundError if there is no such stage."""
    if name not in stages():
        raise ModuleNotFoundError(f"no stage {name}; expected one of {', '.join(stages())}")
    return stages()[name]


def reports() -> list[str]:
    """Return the module of each study's report."""
    return [module(path) for path in sorted(PACKAGE.rglob("report/__init__.py"))]


class Argument(NamedTuple):
    """An argument of a stage's main."""

    required: bool
    several: bool
    """Whether it is a list."""


@cache
def arguments(module: str) -> dict[str, Argument]:
    """Return the arguments of a module's function main, by name. Raises ValueError if it has none."""
    path = _file(module, ROOT)
    for node in ast.parse(path.read_bytes(), path).body if path else ():
        if isinstance(node, ast.FunctionDef) and node.name == "main":
            positional = node.args.args
            required = len(positional) - len(node.args.defaults)
            return {
                argument.arg: Argument(n < required, "list[" in ast.unparse(argument.annotation or argument))
                for n, argument in enumerate(positional)
            }
    raise ValueError(f"{module} has no function main")


def closure(module: str, root: str | Path = ROOT) -> list[Path]:
    """Return the files under root that `module` runs, sorted: its own, those it imports, and those that they import.

    module is a dotted name and root the directory that holds its top package. Imports within functions count, those
    under `if TYPE_CHECKING:` do not, and neither do other packages. Raises ModuleNotFoundError if there is no such
    module.
    """
    root = Path(root)
    path = _file(module, root)
    if path is None:
        raise ModuleNotFoundError(f"no module {module} under {root}")
    files: set[Path] = set()
    waiting = [(module, path)]
    while waiting:
        name, path = waiting.pop()
        if path not in files:
            files.add(path)
            waiting += _imports(name, path, root)
    return sorted(files)


@cache
def _file(module: str, root: Path) -> Path | None:
    base = root / module.replace(".", "/")
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


@cache
def _imports(module: str, path: Path, root: Path) -> list[tuple[str, Path]]:
    """Modules under root that a module imports, with their files; `from a import b` may import a.b."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = {name for node in _executed(ast.parse(path.read_bytes(), path)) for name in _names(node, package)}
    names |= {module.rpartition(".")[0]} - {""}  # to import a.b is to run a/__init__.py first
    return [(name, file) for name in names if (file := _file(name, root))]


def _names(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = package.split(".")
            base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [base])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but expressions, which hold no imports, and those of an `if TYPE_CHECKING:` block."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr | ast.expr_context):
            continue
        if isinstance(child, ast.If) and getattr(child.test, "id", getattr(child.test, "attr", "")) == "TYPE_CHECKING":
            for other in child.orelse:
                yield from _executed(other)
        else:
            yield from _executed(child)
