"""The source files behind a module."""

from pathlib import Path

import pytest

import tessera
from tessera.common import code

SOURCE = Path(tessera.__file__).parents[1]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package in which `app.main` runs some modules and not others."""
    for path, text in {
        "app/__init__.py": "",
        "app/main.py": """
            import os
            from typing import TYPE_CHECKING
            from app.science import model, CONSTANT
            if TYPE_CHECKING:
                from app import only_types
            def main():
                import app.lazy as lazy
        """,
        "app/science/__init__.py": "from .constants import CONSTANT",
        "app/science/constants.py": "CONSTANT = 1",
        "app/science/model.py": "from .. import helper\nfrom . import cycle",
        "app/science/cycle.py": "import app.science.model",
        "app/science/unused.py": "",
        "app/helper.py": "import numpy",
        "app/lazy.py": "",
        "app/only_types.py": "",
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = text.splitlines()
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        file.write_text("\n".join(line[indent:] for line in lines))
    return tmp_path


def test_closure(package: Path) -> None:
    found = [str(path.relative_to(package / "app")) for path in code.closure("app.main", package)]
    assert found == [
        "__init__.py",
        "helper.py",
        "lazy.py",
        "main.py",
        "science/__init__.py",
        "science/constants.py",
        "science/cycle.py",
        "science/model.py",
    ]


def test_unknown_module(package: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"no module app\.none under"):
        code.closure("app.none", package)


def test_own_stages_agree_with_what_python_imports() -> None:
    import subprocess
    import sys

    script = (  # the second and the third are imported within functions
        "import sys, tessera.workflow.stages.tracking, tessera.workflow.views, tessera.common.console;"
        "print(*sorted(m.__file__ for n, m in sys.modules.items() if n.startswith('tessera')), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    imported = {Path(line) for line in done.stdout.split()}
    assert imported == set(code.closure("tessera.workflow.stages.tracking", SOURCE))
