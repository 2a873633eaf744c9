"""Readers and writers of the project's files: atomic, with deterministic bytes and errors that name the file.

A file is written under a hidden name beside its own, flushed to disk and renamed, so that it is there whole or not at
all. The hidden name is fixed: what a killed run left behind is overwritten by the next.
"""

import errno
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

#: What JSON calls an object.
Json = dict[str, Any]


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _naming_full_disk(path: Path) -> Iterator[None]:
    """Turn a full disk, however a library reports it, into OSError(ENOSPC) that names the file and the free space."""
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error):
            free = shutil.disk_usage(path.parent).free / 2**20
            message = f"disk full ({free:.0f} MiB free) while writing; make room and run again"
            raise OSError(errno.ENOSPC, message, str(path)) from error
        raise


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a path to write to; at the end it takes the place of `path`, and after an error it is removed.

    The file gets the mode that the umask gives, whatever the writer's own: safetensors makes files for the owner alone.
    Raises OSError, naming the file, where the disk is full.
    """
    path = Path(path)
    hidden = _hidden(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden.unlink(missing_ok=True)
    try:
        with _naming_full_disk(path):
            hidden.touch()
            mode = hidden.stat().st_mode
            hidden.unlink()
            yield hidden
            hidden.chmod(mode)
            _sync(hidden)
            hidden.replace(path)
            _sync(path.parent)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise


@contextmanager
def replacing_directory(path: str | Path) -> Iterator[Path]:
    """As `replacing`, for a directory: yield an empty one that takes the place of `path`, with all it held."""
    path = Path(path)
    hidden = _hidden(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir()
    mode = hidden.stat().st_mode & 0o666
    try:
        with _naming_full_disk(path):
            yield hidden
            for file in hidden.rglob("*"):
                if file.is_file():
                    file.chmod(mode)
                _sync(file)
            if path.exists():  # a directory cannot be renamed onto one that is not empty
                shutil.rmtree(path)
            hidden.rename(path)
            _sync(path.parent)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise


@contextmanager
def scratch_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty directory beside `path`, under a hidden name, that is removed at the end.

    It is for what is too large for memory: unlike the system's own it is on the disk of the results. What a killed run
    left in it is removed first. Raises OSError, naming path, where the disk is full.
    """
    path = Path(path)
    directory = path.with_name(f".{path.name}.scratch")
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    try:
        with _naming_full_disk(path):
            yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what libraries raise on a truncated, damaged or foreign file into a ValueError that names it."""
    from tokenize import TokenError

    from safetensors import SafetensorError

    try:
        yield
    except (ValueError, EOFError, KeyError, SyntaxError, TokenError, SafetensorError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's own, which names the file; Arrow's have no number
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{path}: truncated or not a {path.suffix} file ({reason}); delete it and run again"
        ) from error


def _exists(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    return path


def size(directory: str | Path) -> int:
    """Bytes of all files in a directory, which may change meanwhile; 0 if there is none."""
    total = 0
    for place, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):  # it has just been moved or deleted
                total += Path(place, name).lstat().st_size
    return total


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text as it is, without translating line ends."""
    with replacing(path) as hidden:
        hidden.write_bytes(text.encode())


def _plain(value: Any) -> Any:
    """What json cannot write itself: arrays, tensors and their scalars as numbers and lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def _not_finite(value: Any, place: str = "") -> str | None:
    """Place of the first number in value that is NaN or infinite."""
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{place or 'value'} = {value}"
    if isinstance(value, Mapping):
        children: Any = value.items()
    elif isinstance(value, list | tuple):
        children = enumerate(value)
    else:
        return _not_finite(value.tolist(), place) if hasattr(value, "tolist") else None
    found = (_not_finite(child, f"{place}.{key}".lstrip(".")) for key, child in children)
    return next((one for one in found if one), None)


def to_json(value: Any, path: str | Path = "JSON", indent: int | None = 1) -> str:
    """Return value as JSON: keys sorted, floats by repr, arrays as lists.

    Raises ValueError, naming path and key, on NaN and infinity, which JSON does not know.
    """
    try:
        return json.dumps(value, sort_keys=True, indent=indent, allow_nan=False, ensure_ascii=False, default=_plain)
    except ValueError as error:
        raise ValueError(f"{path}: {_not_finite(value) or error}; valid are finite numbers and null") from error


def write_json(path: str | Path, value: Any) -> None:
    """Write to_json(value) and a newline."""
    write_text(path, to_json(value, path) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file. Raises FileNotFoundError, and ValueError naming the file where it is not JSON."""
    path = _exists(path)
    with _reading(path):
        return json.loads(path.read_text(encoding="utf-8"))


def write_parquet(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a table without its index."""
    with replacing(path) as hidden:
        table.to_parquet(hidden, index=False, compression="zstd")


def read_parquet(path: str | Path, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a table, or some of its columns."""
    import pandas as pd

    path = _exists(path)
    with _reading(path):
        return pd.read_parquet(path, columns=columns)


def write_csv(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a table without its index, floats by repr."""
    with replacing(path) as hidden:
        table.to_csv(hidden, index=False, lineterminator="\n")


def read_csv(path: str | Path) -> "pd.DataFrame":
    """Read a table; floats come back bit by bit as write_csv had them."""
    import pandas as pd

    path = _exists(path)
    with _reading(path):
        return pd.read_csv(path)


def write_npy(path: str | Path, array: "np.ndarray") -> None:
    """Write one array."""
    import numpy as np

    with replacing(path) as hidden, hidden.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def read_npy(path: str | Path, memory_map: bool = True) -> "np.ndarray":
    """Read one array, by default as a read-only memory map."""
    import numpy as np

    path = _exists(path)
    with _reading(path):
        return np.load(path, mmap_mode="r" if memory_map else None, allow_pickle=False)


def save_tensors(
    path: str | Path, tensors: Mapping[str, "torch.Tensor"], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors as safetensors; metadata is text by name."""
    from safetensors.torch import save_file

    plain = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    with replacing(path) as hidden:
        save_file(plain, hidden, metadata=dict(metadata) if metadata else None)
        _sort_metadata(hidden)


def _sort_metadata(path: Path) -> None:
    """Put the metadata of a safetensors file in order: the library writes them as its hash map has them, at random."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        if "__metadata__" in header:
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
            text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
            file.seek(8)
            file.write(text.ljust(length))


def load_tensors(path: str | Path, prefix: str = "", device: str = "cpu") -> dict[str, "torch.Tensor"]:
    """Read the tensors whose names start with prefix, which is cut from their names."""
    from safetensors import safe_open

    path = _exists(path)
    with _reading(path), safe_open(path, framework="pt", device=device) as file:
        return {key.removeprefix(prefix): file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118


def tensor_metadata(path: str | Path) -> dict[str, str]:
    """Read the metadata of a safetensors file."""
    from safetensors import safe_open

    path = _exists(path)
    with _reading(path), safe_open(path, framework="pt") as file:
        return dict(sorted((file.metadata() or {}).items()))
