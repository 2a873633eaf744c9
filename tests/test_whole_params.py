"""params.yaml and its overlays."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tessera import params
from tessera.common.params import read

ROOT = Path(__file__).parents[1]
OVERLAYS = sorted((ROOT / "params").glob("*.yaml"))


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_overlays_are_valid(overlay: Path) -> None:
    params.load(ROOT / "params.yaml", overlay)


def test_every_value_is_in_the_file() -> None:
    """Nothing that an experiment depends on hides in a default, but for what a null or a kind stands for."""
    values = params.load(ROOT / "params.yaml")
    assert set(type(values).model_fields) == set(values.model_fields_set)
    assert set(type(values.puzzle).model_fields) == set(values.puzzle.model_fields_set)
    assert set(type(values.data).model_fields) == set(values.data.model_fields_set)


def numbers(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Paths of all numbers in nested dictionaries and lists."""
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from numbers(child, (*path, key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_no_number_may_be_infinite(bad: float) -> None:
    config = read(ROOT / "params.yaml")
    paths = list(numbers(config))
    assert len(paths) > 300
    for *sections, key in paths:
        place = config
        for name in sections:
            place = place[name]
        before, place[key] = place[key], bad
        where = ".".join(map(str, [*sections, key]))
        with pytest.raises(ValueError, match=rf"^{re.escape(where)} = {bad}; must be a finite number$"):
            params.check(config)
        place[key] = before


def test_section() -> None:
    values = params.load(ROOT / "params.yaml")
    assert params.section(values, "seed") == values.seed
    assert params.section(values, "puzzle.scores") == values.puzzle.scores.model_dump(mode="json")
    both = params.section(values, "puzzle.scores", "seed")
    assert both == {"scores": values.puzzle.scores.model_dump(mode="json"), "seed": values.seed}
    assert params.section(values, "seed", member="a.gguf") == {"seed": values.seed, "member": "a.gguf"}


@pytest.mark.parametrize(
    ("names", "message"),
    [(["puzzle.none"], r"params\.yaml has no section puzzle\.none"), (["seed.x", "seed"], r"no section seed\.x")],
)
def test_no_such_section(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        params.section(params.load(ROOT / "params.yaml"), *names)


def test_sections_of_one_name() -> None:
    with pytest.raises(ValueError, match="the last parts of their names must differ"):
        params.section(params.load(ROOT / "params.yaml"), "puzzle.scores", "data.scores")


def test_check_names_the_overlay(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("puzzle: {scores: {jobs: 0}}\n")
    base = ROOT / "params.yaml"
    merged = params.params.merge(params.params.read(base), params.params.read(overlay))
    with pytest.raises(ValueError, match=r"mine\.yaml: puzzle\.scores\.jobs = 0; must be greater than"):
        params.check(merged, [base, overlay])


@pytest.mark.parametrize("step", ["calibration", "scores", "evaluate"])
def test_text_must_be_longer_than_an_attentions_window(step: str) -> None:
    config = read(ROOT / "params.yaml")
    config["puzzle"]["space"]["attention"] = {"window64": {"kind": "gqa", "window": 64}}
    params.check(config)
    config["puzzle"][step]["window"] = 64
    with pytest.raises(
        ValueError, match=r"space\.attention\.window64: a window of 64 tokens .* above 64, best as long"
    ):
        params.check(config)
