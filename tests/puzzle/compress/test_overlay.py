"""Overlays that are valid parameters, of one target, one method and the person's own text."""

import pytest
from small_facts import facts, request, text

from tessera import params as parameters
from tessera.common import params
from tessera.puzzle.compress import REPOSITORY, overlay, steps
from tessera.puzzle.compress.request import possible, target_of
from tessera.puzzle.costs.params import TIMED

BASE = params.read(REPOSITORY / "params.yaml")


def made(family="llama", target="cpu", asked=None, **of_text):
    asked = asked or request(target=target)
    entry = possible(target_of(target, BASE["puzzle"]["costs"]["targets"]), facts(family).family)
    sizes = steps.fitting(text(**of_text), facts(family), entry, None, asked.tasks)
    values = overlay.overlay(BASE, asked, entry, text(**of_text), facts(family), sizes)
    return values, params.check(parameters.Params, params.merge(BASE, values))


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "mixtral"])
def test_the_overlay_leaves_one_of_everything(family):
    _, checked = made(family)
    assert [*checked.data.text.sources] == ["text"] and not checked.data.text.out_of_domain
    assert [*checked.puzzle.costs.targets] == ["cpu"]
    assert checked.puzzle.search.methods == ("quadratic",) and checked.puzzle.search.child_speedup is None
    assert checked.puzzle.search.child.speedup == 1.3
    space = facts(family).spaces["full"]
    assert {*checked.puzzle.space.attention} == {*space["attention"]}
    assert {*checked.puzzle.space.ffn} == {*space["ffn"]}
    assert checked.puzzle_studies.tasks.samples.sources == ("text",)
    assert {name for sets in checked.puzzle_studies.tasks.groups.values() for name in sets} == {*steps.TASKS}


def test_children_of_one_size_are_asked_for_by_their_method():
    values, checked = made(asked=request(stock=True))
    assert values["puzzle"]["search"]["methods"] == ["stock"] and checked.puzzle.search.methods == ("stock",)
    assert made()[0]["puzzle"]["search"]["methods"] == ["quadratic"]
    with pytest.raises(ValueError, match="--window 64 with --stock: no plain class has windows"):
        request(stock=True, window=64)


@pytest.mark.parametrize("target", ["cpu", "cpu-torch", "h100", "cuda", "h200", "b60", "a100-roofline"])
def test_targets(target):
    values, checked = made(target=target)
    [(name, entry)] = checked.puzzle.costs.targets.items()
    assert name == target
    assert checked.puzzle.compute.device == ("cuda" if target == "cuda" else "cpu")
    assert (entry.repeats is None) == (entry.source not in TIMED)
    exported = values["puzzle_extras"]["export"].get("dtype")
    assert exported == ("q8_0" if target == "cpu" else None)


def test_where_llama_cpp_has_no_form_torch_is_timed():
    for family, source in (("llama", "llama.cpp"), ("gemma3_text", "measured")):
        (entry,) = made(family)[1].puzzle.costs.targets.values()
        assert entry.source == source and entry.threads == 1 and entry.workload.decode == 128


def test_limits_and_licence():
    values, checked = made(asked=request(limit={"memory": "60%"}, license="gemma"))
    assert checked.puzzle.search.child.memory == "60%" and checked.puzzle.search.child.speedup is None
    assert values["puzzle_extras"]["export"]["license"] == "gemma"
    assert made()[0]["puzzle_extras"]["export"]["license"] == "other"


def test_the_same_arguments_make_the_same_overlay():
    assert made() == made()


def test_samples_are_of_sources_with_a_long_enough_document():
    sources = {name: text().sources["text"] for name in ("a", "b")}
    windows = {split: {"a": 20, "b": 20} for split in ("train", "valid", "test")}
    _, checked = made(sources=sources, windows=windows, longest={"a": 40, "b": 10})
    samples = checked.puzzle_studies.tasks.samples
    assert samples.sources == ("a",) and samples.prompt + samples.tokens <= 40


def test_goals():
    sizes = steps.sizes(text(), facts(), 1.0, True)
    cpu = {"source": "measured"}
    assert overlay.goals(request(), cpu, sizes, True) == [
        "data/puzzle/export/cpu",
        "data/puzzle/speed.json",
        "data/puzzle_studies/tasks/samples.json",
        "data/puzzle_studies/tasks/answers/parent.parquet",
        "data/puzzle_studies/tasks/answers/cpu-full.parquet",
    ]
    none = steps.sizes(text(), facts(), 1.0, False)
    assert overlay.goals(request(target="h100"), {"source": "kernel-database"}, none, False) == [
        "data/puzzle/export/h100"
    ]
