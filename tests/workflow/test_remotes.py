"""DVC for users: remotes on disk and over SSH, and what is said where a cache or a remote is damaged or missing.

docs/data-versioning.md says what users see; the words that it quotes are those asserted here.
"""

import asyncio
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from trees import ROOT, Tree

asyncssh = pytest.importorskip("asyncssh", reason="needs the package asyncssh, which dvc[ssh] brings")

DOCUMENT = ROOT / "docs/data-versioning.md"
MISSING_FILES = "Is your cache up to date?\n<https://error.dvc.org/missing-files>"
NO_SUCH_REMOTE = "config file error: remote 'elsewhere' doesn't exist"
MISSING_SOURCE = "missing data 'source'"
NOT_ON_REMOTE = "Some of the cache files do not exist neither locally nor on remote"


def said(tree: Tree, *command: str) -> str:
    """What a command that must fail says."""
    done = tree.run(*command, check=False)
    assert "ERROR" in done, done
    return done


def objects(store: Path) -> list[Path]:
    """Single files in a cache or a remote, without the lists of directories."""
    return sorted(path for path in (store / "files/md5").rglob("*") if path.is_file() and path.suffix != ".dir")


def damage(store: Path, content: bytes, mode: int = 0o444) -> Path:
    """Change the object that holds content; by default its rights stay those of a finished object."""
    path = next(path for path in objects(store) if path.read_bytes() == content)
    path.chmod(0o644)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    path.chmod(mode)
    return path


@pytest.fixture
def store(origin: Tree, tmp_path: Path) -> Path:
    """A remote of this test's own, as full as that of the origin."""
    return Path(shutil.copytree(origin.path.parent / "store", tmp_path / "store"))


@pytest.fixture
def clone(origin: Tree, store: Path, tmp_path: Path) -> Tree:
    """A fresh clone without data, whose remote is the store."""
    clone = origin.clone(tmp_path / "clone", pull=False)
    clone.run("dvc", "remote", "add", "-q", "--local", "--force", "-d", "local", str(store))
    return clone


def settled(tree: Tree) -> None:
    """Assert that there is nothing to compute, by either tool."""
    assert tree.ran("dvc", "repro") == []
    assert tree.ran("snakemake") == []


@pytest.mark.slow
def test_push_and_pull_of_a_change(clone: Tree, store: Path, tmp_path: Path) -> None:
    clone.run("dvc", "pull", "-q")
    settled(clone)
    clone.set("train", "lr", 0.2)
    assert clone.ran("snakemake") == ["fit"]
    for command in ("git commit -q -a -m faster", "dvc push -q"):
        clone.run(*command.split())
    other = clone.clone(tmp_path / "other", pull=False)
    other.run("dvc", "remote", "add", "-q", "--local", "--force", "-d", "local", str(store))
    other.run("dvc", "pull", "-q")
    settled(other)
    model = "data/model"
    names = sorted(path.name for path in (clone.path / model).rglob("*"))
    assert names and all((other.path / model / n).read_bytes() == (clone.path / model / n).read_bytes() for n in names)


def _serve(root: Path, keys: tuple, ready: threading.Event, found: dict) -> None:
    """Run an SSH server with SFTP on 127.0.0.1 until found["stop"] is called."""

    async def main() -> None:
        host, user = keys
        stop = asyncio.Event()
        accepted = asyncssh.import_authorized_keys(user.export_public_key().decode())
        listening = await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[host], authorized_client_keys=accepted, sftp_factory=True, allow_scp=True
        )
        loop = asyncio.get_running_loop()
        found["port"] = listening.sockets[0].getsockname()[1]
        found["stop"] = lambda: loop.call_soon_threadsafe(stop.set)
        ready.set()
        await stop.wait()
        listening.close()
        await listening.wait_closed()

    asyncio.run(main())


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address of a directory behind an SSH server of this machine, and the key that opens it."""
    pytest.importorskip("dvc_ssh", reason="needs dvc[ssh]")
    keys = tuple(asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    path = tmp_path / "key"
    keys[1].write_private_key(str(path))
    path.chmod(0o600)
    ready, found = threading.Event(), {}
    thread = threading.Thread(target=_serve, args=(tmp_path, keys, ready, found), daemon=True)
    thread.start()
    assert ready.wait(20), "the SSH server did not start"
    yield f"ssh://user@127.0.0.1:{found['port']}{tmp_path / 'far'}", path
    found["stop"]()
    thread.join(20)


def add_ssh(tree: Tree, address: str, key: Path) -> None:
    tree.run("dvc", "remote", "add", "-q", "--local", "far", address)
    tree.run("dvc", "remote", "modify", "-q", "--local", "far", "keyfile", str(key))


@pytest.mark.slow
def test_ssh_remote(clone: Tree, ssh: tuple[str, Path], tmp_path: Path) -> None:
    address, key = ssh
    clone.run("dvc", "pull", "-q")
    add_ssh(clone, address, key)
    clone.run("dvc", "push", "-q", "-r", "far")
    far = tmp_path / "far"
    assert [path.name for path in objects(far)] == [path.name for path in objects(clone.path / ".dvc/cache")]
    other = clone.clone(tmp_path / "other", pull=False)
    add_ssh(other, address, key)
    other.run("dvc", "pull", "-q", "-r", "far")
    settled(other)


@pytest.mark.slow
def test_ssh_remote_that_does_not_answer(clone: Tree, ssh: tuple[str, Path]) -> None:
    address, key = ssh
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    add_ssh(clone, address.replace(address.split(":")[2].split("/")[0], str(port), 1), key)
    assert "failed to connect to ssh" in said(clone, "dvc", "pull", "-r", "far")


def check_of_objects() -> str:
    """The command of the document that finds damaged objects."""
    return re.search(r"```sh\n(.*?)```", DOCUMENT.read_text(), re.DOTALL).group(1)


@pytest.mark.slow
def test_damaged_cache(clone: Tree) -> None:
    """DVC looks into writable objects alone: the document says so, and gives a check for the others."""
    clone.run("dvc", "pull", "-q")
    assert clone.run("bash", "-c", check_of_objects()) == ""
    shard = clone.path / "data/shards/0.csv"
    content = shard.read_bytes()
    damaged = damage(clone.path / ".dvc/cache", content)
    assert "up to date" in clone.run("dvc", "status")
    shutil.rmtree(shard.parent)
    clone.run("dvc", "checkout")
    assert shard.read_bytes() == damaged.read_bytes() != content
    name = f"{damaged.parent.name}/{damaged.name}"
    assert f"{name}: FAILED" in clone.run("bash", "-c", check_of_objects(), check=False)
    damaged.unlink()
    shutil.rmtree(shard.parent)
    clone.run("dvc", "pull")
    assert shard.read_bytes() == content


@pytest.mark.slow
def test_damaged_cache_that_is_writable(clone: Tree) -> None:
    clone.run("dvc", "pull", "-q")
    shard = clone.path / "data/shards/0.csv"
    content = shard.read_bytes()
    damage(clone.path / ".dvc/cache", content, mode=0o644)
    assert "not in cache:       data/shards" in clone.run("dvc", "status")
    shutil.rmtree(shard.parent)
    assert MISSING_FILES in said(clone, "dvc", "checkout")
    clone.run("dvc", "pull")
    assert shard.read_bytes() == content


@pytest.mark.slow
@pytest.mark.parametrize("verify", [True, False])
def test_damaged_remote(clone: Tree, store: Path, verify: bool) -> None:
    """Without `verify` DVC takes what a remote holds at its word: this is why the document asks for it."""
    content = (ROOT / "tests/workflow/tiny/data/raw.txt").read_bytes()
    damaged = damage(store, content)
    clone.run("dvc", "remote", "modify", "-q", "--local", "local", "verify", str(verify).lower())
    words = clone.run("dvc", "pull", check=False)
    raw = clone.path / "data/raw.txt"
    if verify:
        assert "ERROR" in words and not (raw.exists() and raw.read_bytes() != content)
    else:
        assert "ERROR" not in words and raw.read_bytes() == damaged.read_bytes() != content


@pytest.mark.slow
def test_missing_remote(clone: Tree, store: Path) -> None:
    shutil.rmtree(store)
    words = said(clone, "dvc", "pull")
    assert NOT_ON_REMOTE in words and MISSING_FILES in words
    assert NO_SUCH_REMOTE in said(clone, "dvc", "pull", "-r", "elsewhere")
    # What the remote had can be computed; the inputs that a person added cannot.
    assert MISSING_SOURCE in said(clone, "dvc", "repro")


@pytest.mark.slow
def test_sweep_and_its_table(clone: Tree) -> None:
    clone.run("dvc", "pull", "-q")
    for rate in ("0.2", "0.3"):
        assert clone.ran("dvc", "exp", "run", "-n", f"lr-{rate[2:]}", "-S", f"train.lr={rate}") == ["fit"]
    header, *rows = (line.split(",") for line in clone.run("dvc", "exp", "show", "--csv").splitlines() if "," in line)
    shown = {row[header.index("Experiment")]: row[header.index("train.lr")] for row in rows}
    assert shown["lr-2"] == "0.2" and shown["lr-3"] == "0.3"


@pytest.mark.parametrize("words", [MISSING_FILES.splitlines()[0], NO_SUCH_REMOTE, NOT_ON_REMOTE, MISSING_SOURCE])
def test_the_document_says_the_same(words: str) -> None:
    assert words in DOCUMENT.read_text()
