"""The overlay over params.yaml that a run is made of: one target, one method, and the person's own text alone."""

from collections.abc import Mapping
from typing import Any

from tessera.puzzle.compress.facts import Facts
from tessera.puzzle.compress.request import Request
from tessera.puzzle.compress.steps import DISTILLED, TASKS, Sizes
from tessera.puzzle.compress.text import Text
from tessera.puzzle.costs.params import TIMED

#: Of two exchanged attentions: between the cosines that puzzle_validity fits for two parents, 0.017 and 0.039.
COSINE = 0.03
#: Why the file is there, at its head.
HEAD = "# Written by tessera puzzle compress; docs/compress.md says how to go on by hand.\n"


def overlay(
    base: Mapping[str, Any], request: Request, target: Mapping[str, Any], text: Text, facts: Facts, sizes: Sizes
) -> dict[str, Any]:
    """The overlay as plain values; base is params.yaml, whose other sources, targets and variants it removes."""
    puzzle, space = base["puzzle"], facts.spaces[sizes.space]
    nothing = {"tokens": 0, "batch_windows": 1, "learning_rate": 1e-4, "warmup": 0.1}
    samples = [name for name, longest in text.longest.items() if longest >= 16]
    prompt = min([24, *(text.longest[name] // 2 for name in samples)])
    written = min([48, *(text.longest[name] - prompt for name in samples)])
    before = base["puzzle_studies"]["tasks"]["groups"]
    asked = {group: {name: max(4, sizes.items)} for name, group in TASKS.items()}
    groups = _only(before, {group: _only(before.get(group, {}), sets) for group, sets in asked.items()})
    # Another study asks some of the items that tasks draws; the parameters of all studies must fit one another.
    others = _only(base["puzzle_studies"]["task_scores"]["items"], dict.fromkeys(TASKS, max(4, sizes.items) // 2))
    return {
        "data": {
            "parent": request.model,
            "text": {
                "sources": _only(base["data"]["text"]["sources"], text.sources),
                "out_of_domain": _only(base["data"]["text"]["out_of_domain"], {}),
                "test_percent": text.percent,
                "valid_percent": text.percent,
            },
        },
        "puzzle": {
            "compute": {"device": "cuda" if target["hardware"] == "cuda" else "cpu"},
            "space": {place: _only(puzzle["space"][place], space[place]) for place in ("attention", "ffn")},
            "calibration": {"tokens": sizes.calibration, "window": sizes.window, "shards": facts.cores},
            "library": {
                "jobs": sizes.jobs,
                "valid_windows": sizes.valid_windows,
                "distilled": [DISTILLED],
                "distillation": {"tokens": sizes.distillation, "batch_windows": 1},
            },
            "scores": {"jobs": sizes.jobs, "windows": sizes.score_windows, "window": sizes.score_window},
            "costs": {"targets": _only(puzzle["costs"]["targets"], {request.target: _target(target, sizes)})},
            "search": {
                "speedups": [1.1, 1.3, 1.5],
                "child_speedup": None,
                "child": request.limit,
                "methods": [request.method],
                "cosines": [COSINE],
            },
            "refit": {"tokens": sizes.refit, "valid_windows": sizes.valid_windows},
            "heal": {
                "valid_windows": sizes.valid_windows,
                "checkpoint_steps": sizes.checkpoint_steps,
                "equal": nothing,
                "full": {"tokens": sizes.healing, "batch_windows": 1},
            },
            "evaluate": {"windows": sizes.test_windows, "window": sizes.test_window},
            "speed": {"repeats": sizes.rounds},
        },
        "puzzle_extras": {"export": {"license": request.license or "other"} | _types(target)},
        "puzzle_studies": {
            "task_scores": {"items": others},
            "tasks": {
                "groups": groups,
                "methods": [],
                "samples": {
                    "sources": samples or [*text.sources][:1],
                    "prompt": max(1, prompt),
                    "tokens": max(1, written),
                },
            },
        },
    }


def _only(base: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The chosen entries, and null in place of all that base has and that is not chosen."""
    return dict.fromkeys(name for name in base if name not in chosen) | dict(chosen)


def _target(target: Mapping[str, Any], sizes: Sizes) -> dict[str, Any]:
    repeats = {"repeats": sizes.repeats} if target["source"] in TIMED else {}
    return dict(target) | repeats


def _types(target: Mapping[str, Any]) -> dict[str, Any]:
    """The type of the GGUF file is that whose times were measured."""
    return {"dtype": target["dtype"]} if target["source"] == "llama.cpp" else {}


def goals(request: Request, target: Mapping[str, Any], sizes: Sizes, sampled: bool) -> list[str]:
    """Files that the workflow is asked for."""
    name = request.target
    wanted = [f"data/puzzle/export/{name}"]
    if target["source"] in TIMED:
        wanted.append("data/puzzle/speed.json")
    if sampled:
        wanted.append("data/puzzle_studies/tasks/samples.json")
    if sizes.items:
        wanted += [f"data/puzzle_studies/tasks/answers/{model}.parquet" for model in ("parent", f"{name}-full")]
    return wanted
