"""Text of a person's own through the workflow: its files are inputs, and a changed one runs what reads it again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import small_data
import yaml

from tessera.common import files
from tessera.data import tokens

ROOT = Path(__file__).parents[2]


def snakemake(directory: Path, overlay: Path, *arguments: str) -> str:
    settings = [str(ROOT / "params.yaml"), str(overlay)]
    command = [sys.executable, "-m", "snakemake", "--directory", str(directory), "--configfile", *settings, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """No sources but two in files, one of text and one of conversations, and a small parent."""
    small_data.write_parent(tmp_path / "model")
    (tmp_path / "texts").mkdir()
    for i in range(40):
        (tmp_path / f"texts/{i}.txt").write_text(f"hello from {i}")
    talks = [
        [{"role": "user", "content": f"hello {i}"}, {"role": "assistant", "content": f"hello {i * i}"}]
        for i in range(80)
    ]
    (tmp_path / "talk.jsonl").write_text("".join(json.dumps({"messages": talk}) + "\n" for talk in talks))
    mine = {"files": [str(tmp_path / "texts/*.txt")]}
    talk = {"files": [str(tmp_path / "talk.jsonl")], "format": "messages", "loss": "answers"}
    builtin = ("wiki_leads", "wiki_articles", "speeches", "recipes", "chat")
    text = {
        "sources": dict.fromkeys(builtin) | {"mine": mine, "talk": talk},
        "out_of_domain": {"owt": None, "wikipedia_ood": None},
        "min_characters": 1,
        "test_percent": 20,
        "valid_percent": 20,
    }
    path = tmp_path / "overlay.yaml"
    path.write_text(yaml.safe_dump({"data": {"parent": f"directory:{tmp_path / 'model'}", "text": text}}))
    return path


@pytest.mark.slow
def test_from_files_to_tokens(tmp_path: Path, overlay: Path) -> None:
    out, target = tmp_path / "out", ("--cores", "1", "--", "data/tokens/documents.parquet")
    out.mkdir()
    said = snakemake(out, overlay, *target)
    table = files.read_parquet(out / "data/tokens/documents.parquet")
    assert table.groupby("source").size().to_dict() == {"mine": 40, "talk": 80}, said
    found = tokens.windows(out / "data/tokens", "train", 12)
    assert set(found.source) == {"mine", "talk"} and found.mask is not None
    assert "Nothing to be done" in snakemake(out, overlay, "-n", *target)
    (tmp_path / "texts/new.txt").write_text("hello from afar")
    planned = snakemake(out, overlay, "-n", *target)
    assert "Read the documents of mine" in planned and "Read the documents of talk" not in planned


def test_files_are_inputs_and_a_pattern_without_any_is_named(tmp_path: Path, overlay: Path) -> None:
    target = ("-n", "-p", "--", "data/text/mine.parquet", "data/text/talk.parquet")
    said = snakemake(tmp_path, overlay, *target)
    assert f"--source mine --originals {tmp_path / 'texts/0.txt'} {tmp_path / 'texts/1.txt'}" in said
    assert f"--source talk --originals {tmp_path / 'talk.jsonl'}" in said and "--parent data/parent" in said
    (tmp_path / "talk.jsonl").unlink()
    assert f"data.text: talk.files: '{tmp_path / 'talk.jsonl'}' matches no file" in snakemake(
        tmp_path, overlay, *target
    )
