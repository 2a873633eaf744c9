"""The commands for people."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tessera import cli

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the parameters."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli.app, arguments)
    return done.exit_code, done.output


def test_params_check(tree: Path) -> None:
    assert call("params", "check") == (0, "valid\n")
    (tree / "mine.yaml").write_text("sede: 1\n")
    status, words = call("params", "check", "mine.yaml")
    assert status == 1
    assert words.startswith("error: mine.yaml: sede: unknown key; did you mean 'seed'?")


def test_params_check_without_a_file(tree: Path) -> None:
    status, words = call("params", "check", "none.yaml")
    assert status == 1
    assert "none.yaml" in words


def test_show(tree: Path) -> None:
    (tree / "reports/tables/puzzle").mkdir(parents=True)
    (tree / "reports/tables/puzzle/results.md").write_text("| child | KL |\n|---|---|\n| mip | 0.25 |\n")
    status, words = call("show")
    assert status == 0
    assert "0.25" in words
    assert "reports/tables" in words
    assert "reports/figures" not in words
    assert "make ui" in words


@pytest.mark.parametrize("status", [0, 1])
def test_run_hands_on_options_and_status(tree: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(cli.runner, "run", lambda arguments: (called.append(list(arguments)), status)[1])
    assert call("run", "-n", "puzzle_library", "--cores", "1")[0] == status
    assert called == [["-n", "puzzle_library", "--cores", "1"]]


def test_run_beside_another(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: list[str]) -> int:
        raise RuntimeError("another run is at work")

    monkeypatch.setattr(cli.runner, "run", refuse)
    assert call("run") == (1, "error: another run is at work\n")


def test_smoke(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(cli.runner, "run", lambda *arguments: called.append(arguments) or 0)
    assert call("smoke")[0] == 0
    files = [str(tree / "params.yaml"), str(tree / "params/smoke.yaml")]
    assert called == [(["--configfile", *files, "--", "all"], "build/smoke")]
