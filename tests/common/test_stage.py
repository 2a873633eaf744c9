"""A stage's command line."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field

from tessera.common import files, stage
from tessera.common.params import Section


class Params(Section):
    tokens: int = Field(gt=0)


def main(params: Params, layer: int, activations: list[Path], out_file: Path, extra: Path | None = None) -> None:
    """What a stage's main looks like."""
    if layer < 0:
        raise ValueError("layer = -1: valid is 0 to 29")
    if layer == 98:
        int("x")
    if layer == 99:
        raise KeyError("a fault of the code")
    out_file.write_text(repr((params.tokens, layer, activations, extra)))


def call(tmp_path: Path, layer: int = 3, params: str = '{"tokens": 5}') -> Path:
    out = tmp_path / "out"
    paths = ["--activations", "a", "b", "--out-file", str(out)]
    stage.run(main, ["--params", params, "--layer", str(layer), *paths])
    return out


def test_arguments_are_typed(tmp_path: Path) -> None:
    assert call(tmp_path).read_text() == "(5, 3, [PosixPath('a'), PosixPath('b')], None)"


@pytest.mark.parametrize(
    ("layer", "params", "message"),
    [
        (-1, '{"tokens": 5}', "error: layer = -1: valid is 0 to 29"),
        (3, '{"tokens": 0}', "error: --params: tokens = 0; must be greater than 0"),
        (3, "{", "error: --params is not JSON: Expecting property name"),
        (3, "[]", "error: --params = []; must be a mapping"),
    ],
)
def test_expected_errors_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layer: int, params: str, message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        call(tmp_path, layer, params)
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith(message)


def test_errors_can_show_their_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERA_TRACEBACK", "1")
    with pytest.raises(ValueError, match="valid is 0 to 29"):
        call(tmp_path, -1)


def test_other_errors_keep_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        call(tmp_path, 99)


def test_library_errors_say_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    monkeypatch.setattr(stage, "PACKAGE", Path(__file__).parent)
    path = tmp_path / "x.json"
    path.write_text("{")

    def read(path: Path) -> None:
        json.loads(path.read_text())

    with pytest.raises(SystemExit):
        stage.run(read, ["--path", str(path)])
    assert "[test_stage.py, line " in capsys.readouterr().err


def test_own_errors_say_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def read(path: Path) -> None:
        files.read_json(path)

    with pytest.raises(SystemExit):
        stage.run(read, ["--path", str(tmp_path / "x.json")])
    assert capsys.readouterr().err == f"error: [Errno 2] no such file: '{tmp_path}/x.json'\n"


@pytest.mark.parametrize("arguments", [[], ["--layer", "x"], ["--lay", "3"]])
def test_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        stage.run(main, arguments)
    assert caught.value.code == 2


def test_an_argument_needs_an_annotation() -> None:
    def wrong(path) -> None:  # type: ignore[no-untyped-def]
        """Has none."""

    with pytest.raises(TypeError, match=r"test_stage\.main: the argument 'path' has no annotation"):
        stage.parser(wrong)


def test_importing_is_quick() -> None:
    script = (
        "import sys, tessera.common.stage, tessera.common.files; print({'torch', 'pandas', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
