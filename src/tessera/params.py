"""The whole of params.yaml: the sections of all studies in one model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from tessera.common import code, params
from tessera.common.params import Section


class _Whole(Section):
    """Every number that an experiment depends on."""

    seed: int = Field(ge=0)
    """Root of all random streams."""


#: The sections of all studies: SECTIONS of each folder's params.py.
Params = params.gathered(
    "Params", _Whole, [*code.PACKAGE.glob("*/params.py"), *code.PACKAGE.glob("*/studies/params.py")]
)


def load(*paths: str | Path) -> Any:
    """Read params.yaml and overlays, each laid over those before it. Raises ValueError that names every fault."""
    return params.load(Params, *paths)


def check(config: Mapping[str, Any], paths: Sequence[str | Path] = ()) -> Any:
    """Check parameters that were merged elsewhere; paths are the files they came from, for the errors."""
    return params.check(Params, config, [(str(path), params.read(path)) for path in paths])


def section(values: Section, *names: str, **others: Any) -> Any:
    """Sections as plain data: one by itself; several, or one and others, as one dictionary.

    Its keys are the last parts of the sections' names. Raises ValueError if there is no such section, or if two
    keys are the same.
    """
    plain = values.model_dump(mode="json")
    if len(names) == 1 and not others:
        return _one(plain, names[0])
    keys = [name.rpartition(".")[2] for name in names]
    if len({*keys, *others}) < len(keys) + len(others):
        raise ValueError(f"sections {', '.join(names)}: the last parts of their names must differ")
    return {key: _one(plain, name) for key, name in zip(keys, names, strict=True)} | others


def _one(values: Any, name: str) -> Any:
    for part in name.split("."):
        if not isinstance(values, dict) or part not in values:
            raise ValueError(f"params.yaml has no section {name}")
        values = values[part]
    return values
