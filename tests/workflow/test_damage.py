"""Truncated files and flipped bits: results are made again, and readers name the file or read what was written."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_data
import torch
from trees import Faults, Tree, digests, listing

from tessera.common import files
from tessera.data import gguf_parent


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def flip(content: bytes, rng: random.Random) -> bytes:
    bit = rng.randrange(8 * len(content))
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


@pytest.mark.parametrize(
    ("tool", "damage"),
    [
        ("snakemake", cut),
        pytest.param("snakemake", flip, marks=pytest.mark.slow),
        pytest.param("dvc repro", cut, marks=pytest.mark.slow),
        ("dvc repro", flip),
    ],
)
def test_damaged_results_are_made_again(
    origin: Tree, tmp_path: Path, faults: Faults, tool: str, damage: Callable[[bytes, random.Random], bytes]
) -> None:
    tree = origin.copy(tmp_path / "tree")
    pipeline = tree.path / "dvc.yaml"
    before = digests(tree.path, pipeline)
    rng = random.Random(tool)
    for name in ("data/shards/2.csv", "data/model/weight.json", "reports/metrics.json"):
        path = tree.path / name
        path.write_bytes(damage(path.read_bytes(), rng))
    tree.run(*tool.split())
    assert digests(tree.path, pipeline) == before
    assert "up to date" in tree.run("dvc", "status")
    what = {cut: "truncated", flip: "a bit flipped"}[damage]
    faults.tell(f"results {what}, then `{tool}`", 3, "noticed by their date, then by hash; the same bytes again")


TABLE = pd.DataFrame({"name": ["a", "b"] * 200, "value": np.random.default_rng(0).normal(size=400)})
TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.zeros(200, dtype=torch.bfloat16)}
FORMATS: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "x.json": (lambda path: files.write_json(path, {"b": 0.1, "a": [1, None]}), files.read_json),
    "x.parquet": (lambda path: files.write_parquet(path, TABLE), files.read_parquet),
    "x.npy": (lambda path: files.write_npy(path, np.arange(100)), files.read_npy),
    "x.safetensors": (lambda path: files.save_tensors(path, TENSORS, {"z": "1"}), files.load_tensors),
    "x.gguf": (
        lambda path: small_data.write_gguf(path, small_data.llama()),
        lambda path: gguf_parent.Gguf(path).tokenizer(),
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("damage", [cut, flip])
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_read_or_named(
    tmp_path: Path, faults: Faults, name: str, damage: Callable[[bytes, random.Random], bytes]
) -> None:
    """No format but GGUF's container of a package has a checksum: what a reader cannot see, the hash of DVC does."""
    write, read = FORMATS[name]
    path = tmp_path / name
    write(path)
    whole, rng, outcomes = path.read_bytes(), random.Random(0), Counter()
    rounds = 20 if name == "x.gguf" else 200
    for _ in range(rounds):
        path.write_bytes(damage(whole, rng))
        try:
            read(path)
            outcomes["read"] += 1
        except ValueError as error:
            assert str(path) in str(error)
            outcomes["refused by name"] += 1
    # What is cut short is refused, but for a JSON that lost its last newline.
    assert damage is flip or outcomes["read"] <= (rounds // 10 if name == "x.json" else 0)
    what = {cut: "truncated", flip: "a bit flipped"}[damage]
    faults.tell(f"{path.suffix[1:]} file {what}, its reader alone", rounds, listing(outcomes))
