"""Files that patterns name, and data sets of the hub."""

import re
from pathlib import Path

import pytest

from tessera.data import own_files

COMMIT = "0123456789" * 4


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name in ("a.jsonl", "c/1.txt", "c/2.txt", "c/d/3.txt", "saved/state.json", "saved/data-00000-of-00002.arrow"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "saved/data-00001-of-00002.arrow").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def expanded(root, *entries):
    return own_files.expanded(entries, root, "data.text: mine.files")


def test_paths_and_patterns_in_their_order(root):
    assert expanded(root, "c/*.txt", "a.jsonl", "c/2.txt") == ["c/1.txt", "c/2.txt", "a.jsonl"]
    assert expanded(root, "c/**/*.txt") == ["c/1.txt", "c/2.txt", "c/d/3.txt"]
    assert expanded(root, str(root / "a.jsonl")) == ["a.jsonl"]
    assert expanded(root, "saved") == ["saved/data-00000-of-00002.arrow", "saved/data-00001-of-00002.arrow"]
    assert expanded(root, f"hf:a/b@{COMMIT}") == []


def test_a_name_with_brackets_is_a_path_first(root):
    (root / "b[1].txt").touch()
    assert expanded(root, "b[1].txt") == ["b[1].txt"]


def test_paths_are_those_of_the_working_directory_and_names_those_of_the_root(root, monkeypatch):
    (root / "build").mkdir()
    monkeypatch.chdir(root / "build")
    assert expanded(root, "a.jsonl") == ["../a.jsonl"]
    assert list(own_files.named([Path("../a.jsonl"), Path("/elsewhere/b.txt")], "..")) == [
        "a.jsonl",
        "/elsewhere/b.txt",
    ]


def test_files_elsewhere_are_absolute(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "b.txt"
    other.touch()
    assert expanded(root, str(other)) == [str(other)]
    (root / "link.txt").symlink_to(other)
    assert expanded(root, "link.txt") == ["link.txt"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("b/*.txt", "data.text: mine.files: 'b/*.txt' matches no file; relative paths begin in "),
        ("b.txt", "data.text: mine.files: 'b.txt' matches no file"),
        ("c", "data.text: mine.files: 'c' is a directory without state.json of a saved data set; expected c/*.jsonl"),
        (".", "expected one of its splits, ./saved"),
        ("x.csv", "data.text: mine.files: 'x.csv': x.csv: not a kind of file that is read; expected .txt, .jsonl"),
    ],
)
def test_faults_are_named(root, entry, message):
    (root / "x.csv").touch()
    with pytest.raises(ValueError, match=re.escape(message)):
        expanded(root, entry)


def test_a_data_set_of_the_hub(tmp_path, monkeypatch):
    import huggingface_hub

    asked = []

    def snapshot(repository, **about):
        asked.append((repository, about))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    for name in ("data/train-0.parquet", "data/test-0.parquet", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = own_files.of_hub(["a.txt", f"hf:own/er@{COMMIT}/data/train-*"])
    assert found == {"hf:own/er/data/train-0.parquet": tmp_path / "data/train-0.parquet"}
    about = {"repo_type": "dataset", "revision": COMMIT, "allow_patterns": ["data/train-*"]}
    assert asked == [("own/er", about)]
    assert len(own_files.of_hub([f"hf:own/er@{COMMIT}"])) == 2
    with pytest.raises(ValueError, match=r"the data set has no file like none\*"):
        own_files.of_hub([f"hf:own/er@{COMMIT}/none*"])


def test_without_a_network_the_entry_is_named(tmp_path, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*_, **__):
        raise LocalEntryNotFoundError("no connection,\n not in the cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    message = rf"^hf:own/er@{COMMIT}: cannot be downloaded from the Hugging Face hub; it needs a network \(no con"
    with pytest.raises(OSError, match=message):
        own_files.of_hub([f"hf:own/er@{COMMIT}"])
