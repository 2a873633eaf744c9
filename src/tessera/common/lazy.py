"""Public names of a package that are loaded when they are first asked for: reading parameters takes no Numba."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def names(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return __getattr__, __dir__ and __all__ of a package, given the module of it that defines each public name.

    The package's own modules import from the defining modules, because what a stage runs is read from its imports.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    public = sorted(modules)
    return get, lambda: public, public
