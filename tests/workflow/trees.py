"""A working copy of the tiny pipeline, and clones of it, for the scenarios of the bridge; runs of the smoke scale."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import preloaded
import pytest
import yaml

from tessera.workflow import outputs, pipeline

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

#: Lets every choice of the smoke scale rest on what is computed alone: costs from a datasheet instead of a clock.
UNTIMED = """
puzzle:
  costs:
    targets:
      cpu: {source: roofline, hardware: h100-sxm, dtype: bfloat16, threads: null, repeats: null}
"""

#: What ran in the tiny pipeline.
SHARDS = [f"shard {i}" for i in range(4)]
PREPARE = ["noise", *SHARDS]
ALL = ["fit", *PREPARE]
ADOPTED = "adopted from dvc.lock: prepare train"


@dataclass
class Tree:
    """A working copy, and what ran in it."""

    path: Path
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.path.with_name(f"{self.path.name}.runs")

    def run(self, *command: str, check: bool = True, **environment: str) -> str:
        """Run a command and return all it printed."""
        env = isolated(self.path.parent) | {"TINY_RUNS": str(self.log)} | environment
        if command[0] in preloaded.COMMANDS:
            status, printed = preloaded.run(command, self.path, env)
        else:
            done = subprocess.run(
                command,
                cwd=self.path,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            status, printed = done.returncode, done.stdout
        assert not check or status == 0, f"{' '.join(command)}\n{printed}"
        return printed

    def ran(self, *command: str, **environment: str) -> list[str]:
        """Run a command and return which scripts it ran."""
        self.log.unlink(missing_ok=True)
        self.run(*command, **environment)
        return sorted(self.log.read_text().splitlines()) if self.log.exists() else []

    def set(self, section: str, key: str, value: float) -> None:
        """Change a value in params.yaml."""
        params = self.params()
        params[section][key] = value
        (self.path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    def params(self) -> dict:
        return yaml.safe_load((self.path / "params.yaml").read_text())

    def lock(self) -> dict:
        """What dvc.lock says of each stage."""
        return yaml.safe_load((self.path / "dvc.lock").read_text())["stages"]

    def changed(self) -> str:
        """What git calls changed."""
        return self.run("git", "status", "--porcelain")

    def copy(self, path: Path) -> "Tree":
        """A copy with all its memory, dates included."""
        shutil.copytree(self.path, path, symlinks=True)
        return Tree(path)

    def clone(self, path: Path, pull: bool = True) -> "Tree":
        """A clone, with its data pulled by DVC."""
        self.run("git", "clone", "-q", str(self.path), str(path))
        tree = Tree(path)
        if pull:
            tree.run("dvc", "pull", "-q")
        return tree


@dataclass
class Faults:
    """What was done to runs, how often, and what came of it."""

    rows: dict[str, tuple[int, str]] = field(default_factory=dict)

    def tell(self, fault: str, rounds: int, outcome: str) -> None:
        """Note a fault; of the same one, the longer trial stands."""
        if rounds >= self.rows.get(fault, (0, ""))[0]:
            self.rows[fault] = (rounds, outcome)

    def table(self) -> str:
        """As Markdown."""
        rows = [f"| {fault} | {rounds} | {outcome} |" for fault, (rounds, outcome) in self.rows.items()]
        return "\n".join(["| fault | trials | what came of it |", "|---|---:|---|", *rows]) + "\n"


def listing(counts: Counter) -> str:
    """Counts in words."""
    return ", ".join(f"{what} {count}" for what, count in sorted(counts.items()))


def digests(directory: Path, listing: Path = ROOT / "dvc.yaml") -> dict[str, str]:
    """Hash of every file in the outs of DVC's stages."""
    found = {}
    for out in (out for stage in pipeline.stages(listing) for out in stage.outs):
        path = directory / out
        for file in sorted([path] if path.is_file() else path.rglob("*")):
            if file.is_file() and file.name != outputs.TIMESTAMP:
                found[file.relative_to(directory).as_posix()] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def smoke(directory: Path, overlay: Path, *arguments: str, **environment: str) -> subprocess.Popen:
    """`tessera run` at the smoke scale under an overlay, in a process group of its own."""
    call = "import sys; from tessera.workflow.run import run; sys.exit(run(sys.argv[2:], sys.argv[1]))"
    settings = [str(path) for path in (ROOT / "params.yaml", ROOT / "params/smoke.yaml", overlay)]
    return subprocess.Popen(
        [sys.executable, "-c", call, str(directory), "--configfile", *settings, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )


def isolated(home: Path) -> dict[str, str]:
    """An environment with this interpreter's tools, and without the user's settings."""
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(home / ".dvc-global"),
        "DVC_SITE_CACHE_DIR": str(home / ".dvc-site"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Test",
        "GIT_AUTHOR_EMAIL": "test@localhost",
        "GIT_COMMITTER_NAME": "Test",
        "GIT_COMMITTER_EMAIL": "test@localhost",
    }


def once(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], object]) -> Path:
    """A directory that is filled once, for all processes of pytest-xdist."""
    base = factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "filled").exists():
            fill(directory)
            (directory / "filled").touch()
    return directory


def first_run(home: Path) -> None:
    """Run the tiny pipeline in home/origin; commit and push."""
    shutil.copytree(HERE / "tiny", home / "origin")
    tree = Tree(home / "origin")
    for command in (
        "git init -q -b main",
        "dvc init -q",
        "dvc config core.autostage true",
        "dvc config cache.type reflink,copy",
        f"dvc remote add -q -d local {home / 'store'}",
        "dvc add -q data/raw.txt",
        "git add -A",
        "git commit -q -m inputs",
        "snakemake",
        "git add -A",
        "git commit -q -m results",
        "dvc push -q",
        "dvc push -q --run-cache",
    ):
        tree.run(*command.split())


def agree(tree: Tree) -> None:
    """Assert that neither tool finds anything to do."""
    assert tree.ran("snakemake") == []
    assert tree.ran("dvc", "repro") == []
    assert "up to date" in tree.run("dvc", "status")
