"""Files: whole or not there, the same bytes every time, and errors that name them."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from tessera.common import files

TABLE = pd.DataFrame({"name": ["a", "b"], "value": [0.1 + 0.2, 1e-300]})
TENSORS = {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.zeros(2, dtype=torch.bfloat16)}
Case = tuple[str, Callable[[Path], None], Callable[[Path], Any]]
CASES: list[Case] = [
    ("x.json", lambda path: files.write_json(path, {"b": 0.1, "a": [1, None]}), files.read_json),
    ("x.parquet", lambda path: files.write_parquet(path, TABLE), files.read_parquet),
    ("x.csv", lambda path: files.write_csv(path, TABLE), files.read_csv),
    ("x.npy", lambda path: files.write_npy(path, np.arange(1000)), files.read_npy),
    ("x.safetensors", lambda path: files.save_tensors(path, TENSORS, {"z": "1", "y": "2"}), files.load_tensors),
]
each = pytest.mark.parametrize(("name", "write", "read"), CASES, ids=[case[0] for case in CASES])


@each
def test_round_trip(tmp_path: Path, name: str, write: Callable, read: Callable) -> None:
    path = tmp_path / "deep" / name
    write(path)
    value = read(path)
    match path.suffix:
        case ".json":
            assert value == {"a": [1, None], "b": 0.1}
        case ".npy":
            assert isinstance(value, np.memmap)
            assert (value == np.arange(1000)).all()
        case ".safetensors":
            assert set(value) == {"a", "b"}
            assert all(
                torch.equal(value[key], TENSORS[key]) and value[key].dtype == TENSORS[key].dtype for key in value
            )
        case _:
            pd.testing.assert_frame_equal(value, TABLE, check_exact=True)
    assert [file.name for file in path.parent.iterdir()] == [name]


@each
def test_same_bytes(tmp_path: Path, name: str, write: Callable, read: Callable) -> None:
    for directory in ("one", "two"):
        write(tmp_path / directory / name)
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@each
def test_truncated(tmp_path: Path, name: str, write: Callable, read: Callable) -> None:
    path = tmp_path / name
    write(path)
    path.write_bytes(path.read_bytes()[:9])
    if name == "x.csv":
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{name}: truncated or not a {path.suffix} file .*; delete it and run again"):
        read(path)


@each
def test_missing(tmp_path: Path, name: str, write: Callable, read: Callable) -> None:
    with pytest.raises(FileNotFoundError, match=name):
        read(tmp_path / name)


def test_metadata_is_in_order(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.safetensors" for i in range(8)]
    for path in paths:
        files.save_tensors(path, {"a": torch.ones(1)}, {name: name for name in "hgfedcbaü"})
    assert len({path.read_bytes() for path in paths}) == 1
    assert files.tensor_metadata(paths[0]) == {name: name for name in sorted("hgfedcbaü")}
    assert torch.equal(files.load_tensors(paths[0])["a"], torch.ones(1))


def test_load_tensors_of_one_prefix(tmp_path: Path) -> None:
    files.save_tensors(
        tmp_path / "x", {"ffn.half/up": torch.ones(1), "ffn.half/down": torch.zeros(1), "no": torch.ones(2)}
    )
    assert set(files.load_tensors(tmp_path / "x", "ffn.half/")) == {"up", "down"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("nan"), np.array([1.0, np.nan])])
def test_not_finite(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match=r"x.json: losses\.3.* = (nan|inf); valid are finite numbers and null"):
        files.write_json(tmp_path / "x.json", {"losses": [0.0, 1.0, 2.0, value]})
    assert not list(tmp_path.iterdir())


def test_json_of_arrays_and_scalars() -> None:
    value = {"b": np.float32(0.5), "a": np.arange(2), "c": torch.tensor([1.5]), "d": np.int64(3)}
    assert json.loads(files.to_json(value)) == {"a": [0, 1], "b": 0.5, "c": [1.5], "d": 3}
    with pytest.raises(TypeError, match="a set has no JSON form"):
        files.to_json({"a": {1}})


@each
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_mode_is_that_of_the_umask(tmp_path: Path, name: str, write: Callable, read: Callable, umask: int) -> None:
    old = os.umask(umask)
    try:
        write(tmp_path / name)
        with files.replacing_directory(tmp_path / "directory") as hidden:
            save_file({"w": torch.zeros(1)}, hidden / "model.safetensors")
    finally:
        os.umask(old)
    for path in (tmp_path / name, tmp_path / "directory" / "model.safetensors"):
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_replacing_leaves_the_old_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(path) as hidden:
        hidden.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_replacing_a_directory(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with files.replacing_directory(path) as hidden:
        (hidden / "one").write_text("1")
    (tmp_path / ".x.tmp").mkdir()  # as a killed run leaves it
    (tmp_path / ".x.tmp" / "half").write_text("half")
    with files.replacing_directory(path) as hidden:
        (hidden / "two").write_text("2")
    assert [file.name for file in path.iterdir()] == ["two"]
    with pytest.raises(RuntimeError), files.replacing_directory(path) as hidden:
        (hidden / "three").write_text("3")
        raise RuntimeError
    assert [file.name for file in path.iterdir()] == ["two"]
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_scratch_is_empty_at_first_and_gone_at_last(tmp_path: Path) -> None:
    left = tmp_path / "new" / ".x.scratch"
    left.mkdir(parents=True)
    (left / "half").write_text("half")  # as a killed run leaves it
    with files.scratch_directory(tmp_path / "new" / "x") as scratch:
        assert not list(scratch.iterdir())
        (scratch / "one").write_text("1")
    with pytest.raises(OSError, match=r"disk full.*/x'"), files.scratch_directory(tmp_path / "new" / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), Exception("os error 28: No space left on device")]
)
def test_full_disk(tmp_path: Path, error: Exception) -> None:
    with (
        pytest.raises(OSError, match=r"disk full \(\d+ MiB free\) while writing; make room.*/x'") as caught,
        files.replacing(tmp_path / "x"),
    ):
        raise error
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_device_that_is_full() -> None:
    with pytest.raises(OSError, match="disk full") as caught, files.replacing(Path("/dev/shm/tessera-full")) as hidden:
        hidden.symlink_to("/dev/full")
        hidden.write_bytes(b"0")
    assert caught.value.errno == errno.ENOSPC
    assert not hidden.is_symlink()
