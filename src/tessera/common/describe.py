"""Parameters in words, from their models: key, type and range, value and meaning."""

import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import annotated_types
from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from tessera.common import files

TYPES = {int: "integer", float: "number", str: "text", bool: "true or false", types.NoneType: "null", Any: "any value"}
#: Constraints in words, by their type and its field.
RANGES = (
    (annotated_types.Ge, "ge", "at least {}"),
    (annotated_types.Gt, "gt", "above {}"),
    (annotated_types.Le, "le", "at most {}"),
    (annotated_types.Lt, "lt", "below {}"),
    (annotated_types.MinLen, "min_length", "{} or more of them"),
    (annotated_types.MaxLen, "max_length", "{} of them at most"),
)


class Row(NamedTuple):
    """One parameter."""

    key: str
    kind: str
    """Type and range."""
    value: str
    meaning: str


def rows(values: BaseModel, section: str = "") -> list[Row]:
    """Describe the parameters below a section, given by keys joined by dots; empty for all.

    Raises ValueError if there is no such section.
    """
    found = [row for row in _of_model(values, "") if not section or f"{row.key}.".startswith(f"{section}.")]
    if not found:
        keys = [row.key for row in _of_model(values, "")]
        known = {".".join(key.split(".")[:n]) for key in keys for n in range(1, key.count(".") + 2)}
        close = difflib.get_close_matches(section, sorted(known), n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ValueError(
            f"params.yaml has no section {section}; {hint}expected one of {', '.join(type(values).model_fields)}, or a "
            "section or key in one"
        )
    return found


def _of_model(model: BaseModel, prefix: str) -> Iterator[Row]:
    for name, field in type(model).model_fields.items():
        yield from _of_value(getattr(model, name), field, f"{prefix}{name}")


def _of_value(value: Any, field: FieldInfo, key: str) -> Iterator[Row]:
    """A value as one row, or the rows of the models in it."""
    meaning = " ".join((field.description or "").split())
    if isinstance(value, BaseModel):
        yield from _of_model(value, f"{key}.")
    elif isinstance(value, Mapping) and any(isinstance(child, BaseModel) for child in value.values()):
        for name, child in value.items():
            yield from _of_value(child, field, f"{key}.{name}")
    elif isinstance(value, Sequence) and any(isinstance(child, BaseModel) for child in value):
        for number, child in enumerate(value):
            yield from _of_value(child, field, f"{key}.{number}")
    else:
        kind = ", ".join([_kind(field.annotation), *_ranges(field.metadata)])
        shown = value if isinstance(value, str) else files.to_json(_plain(value), indent=None).strip()
        yield Row(key, kind, shown, meaning)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(child) for key, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list | tuple) else value


def _kind(annotation: Any) -> str:
    """A type in words."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return ", ".join([_kind(arguments[0]), *_ranges(arguments[1:])])
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_kind, arguments))
    if origin in (list, tuple) and (len(arguments) == 1 or ... in arguments):
        return f"list of ({_kind(arguments[0])})"
    if origin is tuple:
        return f"list of {', '.join(f'({_kind(part)})' for part in arguments)}"
    if origin is dict:
        return f"mapping from ({_kind(arguments[0])}) to ({_kind(arguments[1])})"
    return TYPES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _ranges(metadata: Sequence[Any]) -> Iterator[str]:
    """Constraints in words."""
    for entry in metadata:
        if isinstance(entry, FieldInfo):
            yield from _ranges(entry.metadata)
            continue
        for kind, name, words in RANGES:
            if isinstance(entry, kind):
                yield words.format(getattr(entry, name))
        pattern = entry.pattern if isinstance(entry, StringConstraints) else getattr(entry, "pattern", None)
        if pattern:
            yield f"matching {pattern}"
