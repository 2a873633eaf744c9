"""Which source files a module runs: itself and what it imports of its own package, found without importing anything.

Rules take these files as inputs, so that the content of the code, and not its date, decides what runs again.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path


def closure(module: str, root: str | Path) -> list[Path]:
    """Return the files under root that `module` runs, sorted: its own, those it imports, and those that they import.

    module is a dotted name and root the directory that holds its top package. Imports within functions count, those
    under `if TYPE_CHECKING:` do not, and neither do other packages. Raises ModuleNotFoundError where there is no such
    module.
    """
    root = Path(root)
    if _file(module, root) is None:
        raise ModuleNotFoundError(f"no module {module} under {root}")
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file(name, root)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += _imports(name, path)
        if "." in name:
            waiting.append(name.rpartition(".")[0])  # to import a.b is to run a/__init__.py first
    return sorted(found.values())


def _file(module: str, root: Path) -> Path | None:
    base = root / module.replace(".", "/")
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


@cache
def _imports(module: str, path: Path) -> tuple[str, ...]:
    """Dotted names in the import statements of a module; `from a import b` gives both a and a.b."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return tuple(name for node in _executed(ast.parse(path.read_bytes(), path)) for name in _names(node, package))


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
    """All nodes but those of an `if TYPE_CHECKING:` block."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", getattr(child.test, "attr", "")) == "TYPE_CHECKING":
            for other in child.orelse:
                yield from _executed(other)
        else:
            yield from _executed(child)
