"""docs/own-text.md: what is shown there works as it is pasted."""

import re
from pathlib import Path

import pytest
import yaml

from tessera import params
from tessera.common import params as layers
from tessera.data import chat_template, items, rows
from tessera.data.params import OwnItems

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/own-text.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("overlay", blocks("yaml"))
def test_parameters_are_valid(overlay: str) -> None:
    base = layers.read(ROOT / "params.yaml")
    values = params.check(layers.merge(base, yaml.safe_load(overlay)))
    assert values != params.check(base)


def test_the_overlay_of_the_papers_sizes_shows_a_valid_source() -> None:
    shown = re.findall(r"^# (data:\n(?:#  .*\n)+)", (ROOT / "params/paper.yaml").read_text(), re.MULTILINE)
    [overlay] = [yaml.safe_load(text.replace("\n# ", "\n")) for text in shown]
    params.check(layers.merge(layers.read(ROOT / "params.yaml"), overlay))


def test_rows_are_read(tmp_path: Path) -> None:
    talk, item = blocks("json")
    (tmp_path / "a.jsonl").write_text(talk)
    [(place, row)] = rows.rows(tmp_path / "a.jsonl", "a.jsonl", ["messages"])
    assert len(chat_template.checked(row["messages"], place, "messages")) == 2
    (tmp_path / "a.jsonl").write_text(item)
    settings = OwnItems(files=["a.jsonl"])
    [found] = items.own("a", {"a.jsonl": tmp_path / "a.jsonl"}, settings, 200, 0)
    assert found.prompt + found.choices[found.answer] == "The capital of France is Paris"


def test_kinds_of_files_are_those_that_are_read() -> None:
    for kind in rows.READERS:
        assert kind == ".arrow" or f"`{kind}`" in GUIDE, kind


def test_null_switches_a_target_off() -> None:
    base = layers.read(ROOT / "params.yaml")
    off = {"puzzle": {"costs": {"targets": {"h100": None}}}}
    assert list(params.check(layers.merge(base, off)).puzzle.costs.targets) == ["cpu"]
    with pytest.raises(ValueError, match=r"costs\.targets; Dictionary should have at least 1 item"):
        params.check(layers.merge(base, {"puzzle": {"costs": {"targets": {"h100": None, "cpu": None}}}}))
