"""Parameters: files of YAML, laid over one another and checked against a model before anything runs.

Each study declares its sections as subclasses of `Section`, with a type and range for every value. What does not fit is
refused with the file, the path of the key, the value, and what is expected.
"""

import difflib
import importlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from tessera.common import code

try:
    from yaml import CSafeLoader as SafeLoader  # ten times as fast, where PyYAML was built with it
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]


class Section(BaseModel):
    """A section of params.yaml: unknown keys are refused, values are not coerced, nothing can be changed."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


Model = TypeVar("Model", bound=BaseModel)


def gathered(name: str, base: type[Section], modules: Iterable[Path]) -> Any:
    """Return a model that adds to base the sections of some params.py of this package: their SECTIONS, models by name.

    So a study's parameters are found by its folder. A params.py without SECTIONS is a part of others. Raises ValueError
    if two modules have a section of the same name.
    """
    sections: dict[str, Any] = {}
    for path in sorted(modules):
        module = importlib.import_module(code.module(path))
        for key, model in getattr(module, "SECTIONS", {}).items():
            if key in sections:
                raise ValueError(f"{path}: SECTIONS: {key} is the section of another module")
            sections[key] = (model, ...)
    return create_model(name, __base__=base, __doc__=base.__doc__, **sections)


class _UniqueKeys(SafeLoader):
    """YAML whose keys are names, none of them repeated: PyYAML would take the last, and `no` for false, in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: list[Any] = []
        for node_of_key, _ in node.value:
            key = self.construct_object(node_of_key, deep=True)
            mark = node_of_key.start_mark
            if not isinstance(key, str):
                text = getattr(node_of_key, "value", key)
                problem = (
                    f'YAML reads the key {text} as {json.dumps(key, default=str)}; write it in quotes, as in "{text}"'
                )
                raise yaml.constructor.ConstructorError(None, None, problem, mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", mark)
            seen.append(key)
        return super().construct_mapping(node, deep)


def read(path: str | Path) -> dict[str, Any]:
    """Read one YAML file of parameters. Raises FileNotFoundError, and ValueError naming file, line and fault."""
    path = Path(path)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}; expected a mapping of sections")
    return content


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Lay overlay over base: mappings are merged key by key, anything else is replaced."""
    merged = dict(base)
    for key, value in overlay.items():
        both = isinstance(merged.get(key), Mapping) and isinstance(value, Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def load(model: type[Model], *paths: str | Path) -> Model:
    """Read the files, lay each over those before it, and return them as a checked model.

    Raises ValueError with one line per fault: file, key, value and what is expected.
    """
    layers = [(str(path), read(path)) for path in paths]
    merged: dict[str, Any] = {}
    for _, layer in layers:
        merged = merge(merged, layer)
    return check(model, merged, layers)


def check(model: type[Model], values: Mapping[str, Any], layers: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> Model:
    """Return values as a checked model; layers are (file, content) pairs, by which errors name the file.

    No number may be infinite or NaN, in any section.
    """
    if unusable := list(_unusable(values, ())):
        raise ValueError("\n".join(f"{_where(layers, path)}{fault}" for path, fault in unusable))
    try:
        # By way of JSON, whose lists may become tuples although types are strict.
        return model.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        faults = [_fault(model, values, layers, dict(one)) for one in error.errors(include_url=False)]
        raise ValueError("\n".join(faults)) from None


def _unusable(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where values hold numbers that are not finite or keys that are not text, and what is wrong there."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            if not isinstance(key, str):
                yield (*path, key), f": YAML reads this key as {json.dumps(key, default=str)}; write it in quotes"
            else:
                yield from _unusable(child, (*path, key))
    elif isinstance(value, list | tuple):
        for n, child in enumerate(value):
            yield from _unusable(child, (*path, n))
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, f" = {value}; must be a finite number"


def _where(layers: Sequence[tuple[str, Mapping]], path: Sequence[str | int]) -> str:
    """The file, the last that has it, and the path of a key."""
    # If the key is missing, the file that has the nearest section around it.
    holders = ([file for file, layer in layers if _has(layer, path[:n])] for n in range(len(path), -1, -1))
    files = next((found for found in holders if found), [])
    return ": ".join([*files[-1:], *([".".join(map(str, path))] if path else [])])


def _fault(model: type[BaseModel], values: Any, layers: Sequence[tuple[str, Mapping]], error: dict[str, Any]) -> str:
    """One line about one fault."""
    path = _path(values, error["loc"])
    if error["type"] == "missing":  # the key is not there, but the section that should hold it may be
        path = [*path, str(error["loc"][-1])]
    where = _where(layers, path)
    if error["type"] == "missing":
        return f"{where} is missing; expected {_wanted(model, error['loc'])}"
    if error["type"] == "extra_forbidden":
        known = _keys(model, error["loc"][:-1])
        close = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{where}: unknown key; {hint}expected one of: {', '.join(known)}"
    value = error["input"]
    shown = "" if isinstance(value, Mapping) else f" = {value!r}"
    if error["type"] in ("value_error", "assertion_error"):  # raised by the models' own checks, in their own words
        return f"{where}{shown}: {error['msg'].split(', ', 1)[1]}"
    fault = error["msg"].replace("Input should be", "must be").replace("an object", "a mapping")
    if isinstance(value, str) and _looks_numeric(value):
        fault += f"; YAML reads {value} as text: write it without quotes and with a point, as in 1.0e-3"
    elif error["type"] in ("string_type", "literal_error", "enum") and (
        value is None or isinstance(value, bool | int | float)
    ):
        fault += (
            f"; YAML reads names such as no, on, null and 1 as {json.dumps(value)} and the like: write a name in quotes"
        )
    return f"{where}{shown}; {fault}"


def _path(values: Any, loc: Sequence[str | int]) -> list[str | int]:
    """The part of loc that is in the values; pydantic adds the names of a union's members."""
    path: list[str | int] = []
    for key in loc:
        if key in (values if isinstance(values, Mapping) else range(len(values)) if isinstance(values, list) else ()):
            path.append(key)
            values = values[key]
    return path


def _has(layer: Any, path: Sequence[str | int]) -> bool:
    for key in path:
        if isinstance(layer, Mapping) and key in layer:
            layer = layer[key]
        elif not isinstance(layer, list):  # a list is replaced as a whole, so its items come from the same file
            return False
    return True


def _models(model: type[BaseModel], loc: Sequence[str | int]) -> list[type[BaseModel]]:
    """The models, one or the members of a union, that the section at loc may be of."""
    found: list[Any] = [model]
    for key in loc:
        step: list[Any] = []
        for one in found:
            field = one.model_fields.get(key)
            step += _inner(field.annotation) if field else [one]  # a key of a dict or an index keeps its item's model
        found = step or found
    return found


def _inner(annotation: Any) -> list[type[BaseModel]]:
    """Models inside an annotation such as dict[str, A | B]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _inner(part)]


def _keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    return sorted({name for one in _models(model, loc) for name in one.model_fields})


def _wanted(model: type[BaseModel], loc: Sequence[str | int]) -> str:
    """What the missing field at loc is: its type, and its description where it has one."""
    for one in _models(model, loc[:-1]):
        if field := one.model_fields.get(str(loc[-1])):
            kind = getattr(field.annotation, "__name__", str(field.annotation))
            return kind + (f", {field.description}" if field.description else "")
    return "a value"


def _looks_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
