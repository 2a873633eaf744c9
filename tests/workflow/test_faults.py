"""What users, disks, clocks and kills do to a run: after each, a rerun ends with the right bytes, or an error names it.

`make faults` also writes reports/tables/faults.md, a table of what was tried and what came of it.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from trees import ROOT, UNTIMED, Faults, Tree, digests, isolated, listing, smoke

from tessera.common import run_files
from tessera.workflow import tracking

#: A study of the smoke scale whose jobs come in a chain, as those of few others do.
CHAIN = ("--", "reports/details/bayesopt_branin/trials.csv", "tempotron_theory")
LONG = pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])


def kill(process: subprocess.Popen, victim: str, rng: random.Random) -> str:
    """Kill the run's snakemake, one of its jobs (the next, if none is at work), or all; return what was killed."""
    while process.poll() is None:
        family = descendants(process.pid)
        jobs = [one for one in family if is_job(one)]
        if victim == "job" and not jobs:
            time.sleep(0.01)
            continue
        if victim == "job":
            rng.choice(jobs).kill()
        elif victim == "snakemake":
            for one in family:
                if "-m snakemake" in command(one):
                    one.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        return victim
    return "none, it had ended"


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it ended meanwhile
        return ""


def is_job(process: psutil.Process) -> bool:
    return ".stages." in command(process) or "src/" in command(process)


def tiny(tree: Tree) -> subprocess.Popen:
    """`tessera run` in the tiny pipeline."""
    call = "import sys; from tessera.workflow.run import run; sys.exit(run())"
    environment = isolated(tree.path.parent) | {"TINY_RUNS": str(tree.log)}
    return subprocess.Popen(
        [sys.executable, "-c", call],
        cwd=tree.path,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def tree(origin: Tree, tmp_path: Path) -> Tree:
    """The tiny pipeline with all to do: its parameters have changed."""
    tree = origin.copy(tmp_path / "tree")
    tree.set("prepare", "rows", 120)
    return tree


@pytest.fixture(scope="module")
def right(origin: Tree, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the tiny pipeline with all to do ends with."""
    tree = origin.copy(tmp_path_factory.mktemp("right") / "tree")
    tree.set("prepare", "rows", 120)
    tree.run("snakemake")
    return digests(tree.path, tree.path / "dvc.yaml")


def settled(tree: Tree, right: dict[str, str]) -> None:
    """Assert that the tree is right, and that neither tool finds anything to do."""
    assert digests(tree.path, tree.path / "dvc.yaml") == right
    assert "up to date" in tree.run("dvc", "status")
    assert tree.ran("snakemake") == []


@pytest.mark.parametrize("rounds", [1, LONG])
def test_kills(tree: Tree, right: dict[str, str], faults: Faults, rounds: int) -> None:
    rng, killed, begun = random.Random(rounds), Counter(), time.monotonic()
    tiny(tree.copy(tree.path.with_name("unbroken"))).communicate()
    duration = time.monotonic() - begun
    for i in range(rounds):
        one = tree.copy(tree.path.with_name(f"tree-{i}"))
        process = tiny(one)
        time.sleep(rng.uniform(0.2, 0.8) * duration)
        killed[kill(process, rng.choice(["job", "all"]), rng)] += 1
        process.communicate()
        again = tiny(one)
        said, _ = again.communicate()
        assert again.returncode == 0, said
        settled(one, right)
    faults.tell("SIGKILL of a job, or of the run", rounds, f"same bytes after a rerun ({listing(killed)})")


def untimed(directory: Path) -> dict[str, str]:
    """Digests of what a run made, but for what holds CPU seconds: the costs of trials, and the runs that tell them."""
    timed = ("bayesopt_evaluate", "cost.json", "reports/runs/bayesopt_branin.jsonl")
    return {path: digest for path, digest in digests(directory).items() if not any(name in path for name in timed)}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_kills_at_the_smoke_scale(tmp_path: Path, faults: Faults) -> None:
    """Twenty kills over as many runs as it takes, each run taking up what the ones before it left."""
    rounds = 20
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(UNTIMED)
    begun = time.monotonic()
    assert smoke(tmp_path / "unbroken", overlay, *CHAIN).wait() == 0
    duration = time.monotonic() - begun
    unbroken = untimed(tmp_path / "unbroken")
    named = {CHAIN[1], "data/bayesopt/studies/branin/5/result.json", "data/tempotron/capacity.parquet"}
    assert named <= unbroken.keys()
    rng, killed, directory = random.Random(1), Counter(), tmp_path / "killed"
    for _ in range(rounds):
        process = smoke(directory, overlay, *CHAIN)
        time.sleep(rng.uniform(6, 6 + duration / 4))
        what = kill(process, rng.choice(["job", "snakemake", "all"]), rng)
        killed[what] += 1
        process.wait()
        if what.startswith("none"):
            assert untimed(directory) == unbroken
            shutil.rmtree(directory)
    assert smoke(directory, overlay, *CHAIN).wait() == 0
    assert untimed(directory) == unbroken
    faults.tell("SIGKILL of a job, of Snakemake or of the run, smoke scale", rounds, f"same bytes ({listing(killed)})")


@pytest.mark.parametrize("rounds", [LONG])
def test_killed_import_of_runs(tmp_path: Path, faults: Faults, rounds: int) -> None:
    """At a moment of chance; at a given one in test_tracking.py."""
    file = Path("reports/runs/bayesopt_puzzle.jsonl")
    (tmp_path / file.parent).mkdir(parents=True)
    shutil.copy(ROOT / file, tmp_path / file)
    expected = sorted(record.name for record in run_files.read(tmp_path / file))
    assert len(expected) > 5
    call = "from tessera.workflow import tracking; tracking.sync('.')"
    rng, killed = random.Random(rounds), 0
    for _ in range(rounds):
        process = subprocess.Popen([sys.executable, "-c", call], cwd=tmp_path, stderr=subprocess.DEVNULL)
        try:
            process.wait(rng.uniform(2, 12))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
    tracking.sync(tmp_path)
    client = tracking._client(tmp_path)
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()], max_results=1000)
    assert sorted(run.info.run_name for run in runs) == expected
    assert all(run.info.status == "FINISHED" and tracking.PENDING not in run.data.tags for run in runs)
    faults.tell("SIGKILL of the import into MLflow", rounds, f"every run once and whole ({killed} were in time)")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    yield mounted
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)


@pytest.mark.parametrize(
    "rounds", [(0, 8_000), pytest.param((0, 4_000, 8_000, 16_000), marks=pytest.mark.slow)], ids=["few", "more"]
)
def test_full_disk(origin: Tree, right: dict[str, str], disk: Path, faults: Faults, rounds: tuple[int, ...]) -> None:
    """Rounds are the bytes that are free."""
    tree = origin.copy(disk / "tree")
    tree.set("prepare", "rows", 120)
    ballast = disk / "ballast"
    failed = 0
    for free in rounds:
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(shutil.disk_usage(disk).free - free, 1))
        process = tiny(tree)
        said, _ = process.communicate()
        assert process.returncode == 0 or "No space left on device" in said or "disk full" in said, said
        failed += process.returncode != 0
        ballast.unlink()
    assert failed
    process = tiny(tree)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    settled(tree, right)
    faults.tell("full disk", len(rounds), f"{failed} runs fail and say so; same bytes once there is room")


def test_read_only_data(origin: Tree, right: dict[str, str], disk: Path, faults: Faults) -> None:
    tree = origin.copy(disk / "tree")
    tree.set("prepare", "rows", 120)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    process = tiny(tree)
    said, _ = process.communicate()
    assert process.returncode != 0
    assert ("Read-only file system" in said and str(tree.path) in said) or ".snakemake" in said, said
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    process = tiny(tree)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    settled(tree, right)
    faults.tell("read-only directory", 1, "the error names a file in it; same bytes once it can be written")


@pytest.mark.slow
@pytest.mark.parametrize("years", [-30, 30])
def test_dates_of_another_time(origin: Tree, tmp_path: Path, faults: Faults, years: int) -> None:
    tree = origin.copy(tmp_path / "tree")
    pipeline = tree.path / "dvc.yaml"
    before = digests(tree.path, pipeline)
    other = time.time() + years * 365 * 86400
    for path in tree.path.rglob("*"):
        if path.is_file() and ".git" not in path.parts and ".dvc" not in path.parts and ".snakemake" not in path.parts:
            os.utime(path, (other, other))
    tree.run("snakemake")
    assert digests(tree.path, pipeline) == before
    assert tree.ran("snakemake") == tree.ran("dvc", "repro") == []
    faults.tell(f"all files dated {years:+d} years", 1, "same bytes; both tools then find nothing to do")


def test_two_runs_at_once(tree: Tree, right: dict[str, str], faults: Faults) -> None:
    processes = [tiny(tree) for _ in range(2)]
    ends = [(process.communicate()[0], process.returncode) for process in processes]
    assert sorted(code == 0 for _, code in ends) == [False, True], ends
    assert any("another run is in progress" in said or "is running in" in said for said, code in ends if code), ends
    settled(tree, right)
    faults.tell("two runs at once", 1, "the second is refused by name; same bytes")


@pytest.mark.slow
def test_snakemake_and_dvc_at_once(tree: Tree, right: dict[str, str], faults: Faults) -> None:
    environment = isolated(tree.path.parent) | {"TINY_RUNS": str(tree.log)}
    processes = [
        subprocess.Popen(
            one.split(), cwd=tree.path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for one in ("snakemake", "dvc repro")
    ]
    said = [process.communicate()[0] for process in processes]
    assert any(process.returncode == 0 for process in processes), said
    again = tiny(tree)
    words, _ = again.communicate()
    assert again.returncode == 0, words
    settled(tree, right)
    faults.tell("`snakemake` and `dvc repro` at once", 1, "one may be refused; after a rerun the same bytes")
