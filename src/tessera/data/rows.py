"""Rows of a person's own files, read one at a time, each with its place for errors and names: FILE:LINE."""

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = tuple[str, dict[str, Any]]


def _text(path: Path, name: str, fields: list[str]) -> Iterator[Row]:
    """A file that is one document, under the first of the fields; its place is the file."""
    try:
        yield name, {fields[0]: path.read_bytes().decode("utf-8-sig")}
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: not UTF-8 text (byte {error.start})") from error


@contextmanager
def _naming_damage(name: str) -> Iterator[None]:
    """Turn what libraries raise on a truncated, damaged or foreign file into a ValueError that names it."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's own, which names the file; those of gzip and Arrow have no number
        reason = " ".join(str(error).split())
        raise ValueError(f"{name}: truncated or not a {suffix(name)} file ({reason})") from error


def _lines(path: Path, name: str, fields: list[str]) -> Iterator[Row]:
    """One JSON object per line; empty lines are passed over."""
    import pyarrow as pa

    if path.suffix == ".zst":
        file: Any = io.BufferedReader(pa.input_stream(str(path), compression="zstd"))
    else:
        file = gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115
    with file:
        for line, content in enumerate(file, 1):
            place = f"{name}:{line}"
            try:
                text = content.decode("utf-8-sig" if line == 1 else "utf-8")
                if text.strip():
                    yield place, _object(json.loads(text), place)
            except UnicodeDecodeError as error:
                raise ValueError(f"{place}: not UTF-8 text (byte {error.start} of the line)") from error
            except json.JSONDecodeError as error:
                raise ValueError(f"{place}: not JSON ({error.msg}, column {error.colno})") from error


def _list(path: Path, name: str, fields: list[str]) -> Iterator[Row]:
    """A JSON list of objects; the number of a row stands for its line."""
    try:
        rows = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: not UTF-8 text (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{name}:{error.lineno}: not JSON ({error.msg}, column {error.colno})") from error
    if not isinstance(rows, list):
        raise ValueError(f"{name}: holds a {type(rows).__name__}; expected a list, or an object per line in a .jsonl")
    for number, row in enumerate(rows, 1):
        yield f"{name}:{number}", _object(row, f"{name}:{number}")


def _parquet(path: Path, name: str, fields: list[str]) -> Iterator[Row]:
    """The rows of a table."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        columns = _of(fields, file.schema_arrow.names, name)
        yield from _batches(file.iter_batches(1000, columns=columns), name)


def _arrow(path: Path, name: str, fields: list[str]) -> Iterator[Row]:
    """The rows of a file of the datasets library, an Arrow stream."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        columns = _of(fields, stream.schema.names, name)
        yield from _batches((batch.select(columns) for batch in stream), name)


def _of(fields: list[str], known: list[str], name: str) -> list[str]:
    """Those of the fields that a table has. Raises ValueError if the first, which is needed, is not among them."""
    if fields[0] not in known:
        raise ValueError(f"{name}: has no column {fields[0]!r}; it has {', '.join(known)}")
    return [field for field in fields if field in known]


def _batches(batches: Iterable[Any], name: str) -> Iterator[Row]:
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield f"{name}:{number}", row


def _object(row: Any, place: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"{place}: a {type(row).__name__}; expected an object with fields")
    return row


READERS: dict[str, Callable[[Path, str, list[str]], Iterator[Row]]] = {
    ".txt": _text,
    ".jsonl": _lines,
    ".jsonl.gz": _lines,
    ".jsonl.zst": _lines,
    ".json": _list,
    ".parquet": _parquet,
    ".arrow": _arrow,
}


def suffix(name: str) -> str:
    """Return which of READERS reads a file of this name. Raises ValueError if none does."""
    for known in READERS:
        if name.endswith(known):
            return known
    raise ValueError(f"{name}: not a kind of file that is read; expected {', '.join(READERS)}")


def rows(path: Path, name: str, fields: list[str]) -> Iterator[Row]:
    """Yield (place, row) of the rows of a file, which errors and places call name.

    The first field is needed, further ones are read if they are there; a table's other columns are not read. Raises
    ValueError, naming file and line, on content that is damaged, not UTF-8, or not made of objects, on a row that lacks
    the first field, and on a file without any row.
    """
    place = None
    with _naming_damage(name):
        for place, row in READERS[suffix(name)](path, name, fields):
            if row.get(fields[0]) is None:
                there = ", ".join(key for key, value in row.items() if value is not None) or "nothing"
                raise ValueError(f"{place}: has no field {fields[0]!r}; it has {there}")
            yield place, row
    if place is None:
        raise ValueError(f"{name}: holds no row")
