"""The wheel holds the whole package, and gives the command."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from trees import ROOT


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
def test_wheel_gives_the_command(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a build leaves files beside its sources
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(source))
    (wheel,) = tmp_path.glob("tessera-*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    assert held == {path.relative_to(source / "src").as_posix() for path in (source / "src").rglob("*.py")}
    place = tmp_path / "installed"
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place), str(wheel))
    shown = run(str(place / "bin/tessera"), "--help", PYTHONPATH=str(place))
    assert "Data-versioned, reproducible experiments" in shown
    where = "import tessera.cli; print(tessera.cli.__file__)"
    assert run(sys.executable, "-c", where, PYTHONPATH=str(place)).strip() == str(place / "tessera/cli.py")
