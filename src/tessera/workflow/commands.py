"""The command line of a rule's stage, made from what the rule names: its inputs, outputs and wildcards."""

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tessera.common import code

#: Inputs that make Snakemake run a stage again, and that the stage does not read.
UNREAD = {"code"}


def stage(name: str, **given: Any) -> Callable[..., str]:
    """Return a function of a rule's params: the stage's module and arguments, as one text for `python -m`.

    Each argument of the stage's main is the output, input or wildcard of its name, or one of those given, which may be
    functions of the wildcards. An argument that is one path takes the common folder of an input of several files.
    Inputs without a name are for Snakemake alone. What main does not know or lacks raises TypeError when jobs are
    planned.
    """
    module = code.stage(name)
    arguments = code.arguments(module)

    def command(wildcards: Any, input: Any, output: Any) -> str:
        named = dict(input.items()) | dict(output.items())
        named |= {key: value(wildcards) if callable(value) else value for key, value in given.items()}
        if unknown := named.keys() - arguments.keys() - UNREAD:
            raise TypeError(f"{module}.main has no argument {', '.join(sorted(unknown))}, which its rule gives it")
        values = dict(wildcards.items()) | named
        words = [module]
        for key, argument in arguments.items():
            if key in values:
                words += [f"--{key.replace('_', '-')}", *_words(values[key], argument.several)]
            elif argument.required and key != "params":
                raise TypeError(f"{module}.main needs the argument {key}, which its rule does not give it")
        return shlex.join(words)

    return command


def _words(value: Any, several: bool) -> list[str]:
    """A value as words of a command line."""
    words = [str(value)] if isinstance(value, str | int | float) else [str(part) for part in value]
    return [os.path.commonpath([Path(path).parent for path in words])] if len(words) > 1 and not several else words


def outputs(
    study: str,
    texts: Mapping[str, str] | None = None,
    tables: Mapping[str, str] | None = None,
    figures: Mapping[str, str] | None = None,
    shown: tuple[str, ...] = (),
) -> dict[str, dict[str, str]]:
    """Return the titles of a report stage's texts, tables and figures by path; each is given by name and title.

    Texts, and the figures that are shown in README or docs, are in git; further figures and the tables belong to DVC.
    """
    return {
        "texts": {f"reports/tables/{study}/{name}.md": title for name, title in (texts or {}).items()},
        "tables": {f"reports/details/{study}/{name}.csv": title for name, title in (tables or {}).items()},
        "figures": {
            f"reports/{'figures' if name in shown else 'details'}/{study}/{name}.svg": title
            for name, title in (figures or {}).items()
        },
    }
