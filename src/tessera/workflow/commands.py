"""Build the command line of a stage from the inputs, outputs and wildcards that its rule names."""

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tessera.common import code

#: Inputs that trigger a rerun but are not passed to the stage.
UNREAD = {"code"}


def stage(name: str, **given: Any) -> Callable[..., str]:
    """Return a function for a rule's params that gives the stage's module and arguments as one string for `python -m`.

    Each argument of the stage's main takes the output, input or wildcard of the same name, or a value from `given`,
    which may be a function of the wildcards. If an argument is a single path and the rule names several files, it takes
    their common folder. Unnamed inputs are not passed on. Raises TypeError when jobs are planned if the rule names
    something that main has no argument for, or does not name a required argument.
    """
    module = code.stage(name)
    arguments = code.arguments(module)

    def command(wildcards: Any, input: Any, output: Any) -> str:
        passed = dict(input.items()) | dict(output.items())
        passed |= {key: value(wildcards) if callable(value) else value for key, value in given.items()}
        if unknown := passed.keys() - arguments.keys() - UNREAD:
            raise TypeError(f"{module}.main has no argument {', '.join(sorted(unknown))}, which its rule passes")
        values = dict(wildcards.items()) | passed
        words = [module]
        for key, argument in arguments.items():
            if key in values:
                words += [f"--{key.replace('_', '-')}", *_words(values[key], argument.several)]
            elif argument.required and key != "params":
                raise TypeError(f"{module}.main requires the argument {key}, which its rule does not pass")
        return shlex.join(words)

    return command


def _words(value: Any, several: bool) -> list[str]:
    """Return a value as words of a command line."""
    words = [str(value)] if isinstance(value, str | int | float) else [str(part) for part in value]
    return [os.path.commonpath([Path(path).parent for path in words])] if len(words) > 1 and not several else words


def outputs(
    study: str,
    texts: Mapping[str, str] | None = None,
    tables: Mapping[str, str] | None = None,
    figures: Mapping[str, str] | None = None,
    shown: tuple[str, ...] = (),
) -> dict[str, dict[str, str]]:
    """Return the titles of a report stage's texts, tables and figures by path, from their titles by name.

    Texts and the figures shown in README or docs are tracked by git; tables and all other figures by DVC.
    """
    return {
        "texts": {f"reports/tables/{study}/{name}.md": title for name, title in (texts or {}).items()},
        "tables": {f"reports/details/{study}/{name}.csv": title for name, title in (tables or {}).items()},
        "figures": {
            f"reports/{'figures' if name in shown else 'details'}/{study}/{name}.svg": title
            for name, title in (figures or {}).items()
        },
    }
