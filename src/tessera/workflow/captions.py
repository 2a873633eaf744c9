"""Captions of `make report`: the docstring of the code of each figure, table and text, and what made it.

A caption is a template of Snakemake's in reStructuredText, which sees the job that wrote the item.
"""

import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tessera.common import code, files
from tessera.common.publish import Report
from tessera.workflow import claims

#: Ending of an item's file, by the kind of item.
ENDINGS = {"texts": ".md", "tables": ".csv", "figures": ".svg"}
#: The end of every caption. Inputs without a name, and code, are left out.
FOOTER = """
Made by ``snakemake {{ snakemake.output[0] if snakemake.wildcards.keys() else snakemake.rule }}`` \
(rule ``{{ snakemake.rule }}``, stage ``{{ snakemake.params.stage.split(" ")[0] }}``)\
{% for name, paths in snakemake.input.items() if name != "code" and paths -%}
{{ " from " if loop.first else ", " }}{{ name }} (``{{ paths if paths is string else paths[0] }}``\
{{ "" if paths is string or paths | length == 1 else " and more" }})
{%- endfor %}.
"""


def captions() -> dict[str, str]:
    """Return the captions of all items by path below the folder of captions: STUDY/NAME.svg.rst.

    STUDY is the name of the folder whose report has the item. Raises ValueError if an item's code has no docstring.
    """
    texts = {f"{place}.rst": _caption(place, function) for place, function in _items()}
    return texts | {"claims.md.rst": _caption("claims.md", claims.table)}


def write(folder: Path) -> None:
    """Write all captions into the folder, in place of what is there."""
    with files.replacing_directory(folder) as hidden:
        for name, caption in captions().items():
            files.write_text(hidden / name, caption)


def _items() -> Iterator[tuple[str, Any]]:
    """The code of each item, with the path of its file."""
    for name in code.reports():
        module = importlib.import_module(name)
        study = code.study(Path(str(module.__file__)).parents[1])
        for report in vars(module).values():
            if isinstance(report, Report):
                for kind, ending in ENDINGS.items():
                    yield from ((f"{study}/{name}{ending}", item) for name, item in getattr(report, kind).items())


def _caption(place: str, function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    if not (text := inspect.getdoc(function)):
        raise ValueError(f"{place}: {getattr(function, '__qualname__', function)} needs a docstring, its caption")
    return f"{_escaped(text)}\n{FOOTER}"


def _escaped(text: str) -> str:
    """Plain text with code in backticks, as reStructuredText that Jinja leaves as it is."""
    parts = re.split(r"(`+[^`]+`+)", text)
    parts = [
        f"``{part.strip('`')}``" if part.startswith("`") else re.sub(r"([\\*|_])", r"\\\1", part) for part in parts
    ]
    return "{% raw %}" + "".join(parts) + "{% endraw %}"
