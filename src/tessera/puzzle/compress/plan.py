"""The plan of a run: what is searched, what it takes, what the result can be served by, and what would fail later."""

import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import yaml

from tessera import params as parameters
from tessera.common import files, params
from tessera.puzzle.compress import REPOSITORY, overlay, steps
from tessera.puzzle.compress import text as texts
from tessera.puzzle.compress.facts import Facts, examine
from tessera.puzzle.compress.request import Request, differences, possible, target_of
from tessera.puzzle.compress.steps import Sizes, Step
from tessera.puzzle.compress.text import Text
from tessera.puzzle.costs.params import TIMED

PLAN, OVERLAY = "plan.json", "overlay.yaml"
#: What came of the workflow's tests of the parent.
ADMISSION = "data/puzzle/admission.json"
GIB = 2**30
#: Bytes of a process without a model, and of what it computes with.
PROCESS = GIB
#: Slowdown by other programs from which on a plan says so.
BUSY = 1.3
#: Share of the disk's free space that a run may take.
ROOM = 0.9


@dataclass(frozen=True)
class Plan:
    """All that decides a run."""

    request: Request
    target: dict[str, Any]
    text: Text
    facts: Facts
    sizes: Sizes
    overlay: dict[str, Any]
    steps: list[Step]
    goals: list[str]
    memory: int
    """Bytes of all jobs at once, at most."""
    disk: int
    """Bytes that the run writes, at most at once."""
    cores: int

    @property
    def seconds(self) -> float:
        return steps.total(self.steps)

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "request": asdict(self.request),
            "target": self.target,
            "text": asdict(self.text),
            "model": asdict(self.facts),
            "sizes": asdict(self.sizes),
            "steps": steps.plain(self.steps),
            "minutes": round(self.seconds / 60, 1),
            "memory_gib": round(self.memory / GIB, 2),
            "disk_gib": round(self.disk / GIB, 2),
            "cores": self.cores,
            "notes": list(notes(self)),
        }


def known(out: Path, request: Request) -> tuple[Facts, Text] | None:
    """What an earlier call found out for the same directory, so that nothing is measured again; None if there was none.

    Raises ValueError, saying what differs, if that call asked for something else.
    """
    path = out / PLAN
    if not path.is_file():
        return None
    stored = files.read_json(path)
    before = stored["request"]
    if words := differences({k: v for k, v in before.items() if k in request.identity()}, _plain(request.identity())):
        raise ValueError(
            f"{out} holds a run with other arguments ({'; '.join(words[:5])}); expected the same, or another --out"
        )
    try:
        return Facts(**stored["model"]), Text(**stored["text"])
    except TypeError as error:
        raise ValueError(f"{path}: was written by another version ({error}); expected another --out") from None


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def make(
    request: Request, model: Path, out: Path, before: tuple[Facts, Text] | None = None, begun: float | None = None
) -> Plan:
    """Find out all that a run depends on; model is the parent's directory, before what an earlier call found out.

    begun is when the call began, by the monotonic clock, by default now: the budget counts from there.

    Raises ValueError or OSError, in words, for whatever would fail later.
    """
    begun = time.monotonic() if begun is None else begun
    base = params.read(REPOSITORY / "params.yaml")
    # Of a directory of the person's own the workflow may have tested what was there before.
    known_tests = not request.model.startswith("directory:") and (out / ADMISSION).is_file()
    facts, text = before or _found(request, model, out / ADMISSION if known_tests else None)
    target = possible(target_of(request.target, base["puzzle"]["costs"]["targets"]), facts.family)
    if before is None:
        facts = replace(facts, rates=facts.rates | {"spent": time.monotonic() - begun})
    minutes = None if request.budget_minutes is None else request.budget_minutes - facts.rates["spent"] / 60
    small = _at_once(facts, steps.sizes(text, facts, 0.0, request.tasks))
    sizes = steps.fitting(text, facts, target, minutes, request.tasks)
    made = overlay.overlay(base, request, target, text, facts, sizes)
    plan = Plan(
        request=request,
        target=target,
        text=text,
        facts=facts,
        sizes=sizes,
        overlay=made,
        steps=steps.steps(facts, sizes, text, target),
        goals=overlay.goals(request, target, sizes, any(longest >= 16 for longest in text.longest.values())),
        memory=_memory(facts, request.cores),
        disk=_disk(facts, sizes),
        cores=min(request.cores, small),
    )
    _check(plan, base, model, out)
    return plan


def _found(request: Request, model: Path, tested: Path | None) -> tuple[Facts, Text]:
    return examine(model, lambda read: texts.split(request, read, model), request.cores, request.window, tested)


def _at_once(facts: Facts, sizes: Sizes) -> int:
    """Jobs that memory allows at once, at least one."""
    return max(1, int(psutil.virtual_memory().available / _memory(facts, 1)))


def _memory(facts: Facts, cores: int) -> int:
    """Bytes of memory at most: of healing, or of as many scoring jobs as there are cores."""
    model = 4 * facts.parameters
    blocks = 4 * (facts.parameters - facts.outside)
    healing = 2 * model + 3 * blocks + 2 * PROCESS
    job = model + 2 * blocks // facts.layers + PROCESS
    return max(healing + (2 * model + PROCESS if cores > 1 else 0), cores * job)


def _disk(facts: Facts, sizes: Sizes) -> int:
    """Bytes on disk: parent, library, hidden states, refitted child, checkpoint of healing, child as published."""
    model, blocks = 4 * facts.parameters, 4 * (facts.parameters - facts.outside)
    states = 4 * facts.layers * facts.hidden_size * (sizes.calibration + sizes.valid_windows * sizes.window)
    library = 0.0
    for place in facts.spaces[sizes.space].values():
        for variant in place.values():
            share = variant.get("width", 1) * variant.get("experts", 1) if variant["kind"] != "no_op" else 0
            library += blocks / 2 * share
    return int(model + library + 1.2 * states + model + 3 * blocks + 2 * model + model)


def _check(plan: Plan, base: Mapping[str, Any], model: Path, out: Path) -> None:
    """Raise for whatever would fail later."""
    merged = params.merge(base, plan.overlay)
    checked = params.check(parameters.Params, merged, [("params.yaml", base), (OVERLAY, plan.overlay)])
    there = psutil.virtual_memory().available
    if (need := _memory(plan.facts, 1)) > there:
        raise ValueError(
            f"memory: a run takes about {need / GIB:.1f} GiB, {there / GIB:.1f} GiB are free; close other programs, or "
            "choose a smaller model"
        )
    place = next(path for path in (out, *out.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if not (out / "data/puzzle").exists() and plan.disk > ROOM * free:
        raise OSError(
            f"{place}: {free / GIB:.1f} GiB are free; the run writes about {plan.disk / GIB:.1f}: name another --out"
        )
    if plan.target["hardware"] == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ValueError("--target cuda: torch finds no GPU; expected cpu, or a target that is not measured here")
    if plan.target["source"] not in TIMED:
        from tessera.puzzle.costs import tables
        from tessera.puzzle.models import architecture
        from tessera.puzzle.search import ModelLimits, block_library, budgets

        name = plan.request.target
        table = tables.of_target(architecture.read(model), checked.puzzle.space, checked.puzzle.costs.targets[name])
        layer = {
            place: {variant: {"kl_div": 0.0} for variant in ("parent", *named)}
            for place, named in plan.facts.spaces[plan.sizes.space].items()
        }
        library = block_library.make([layer] * plan.facts.layers, table)
        budgets.of_model(library, ModelLimits(**plan.request.limit), block_library.measurement_info(table))


def write(plan: Plan, out: Path) -> None:
    """Write plan and overlay, if they have changed."""
    for name, content in (
        (OVERLAY, overlay.HEAD + yaml.safe_dump(plan.overlay, width=120, allow_unicode=True)),
        (PLAN, files.to_json(plan.as_dict()) + "\n"),
    ):
        path = out / name
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            files.write_text(path, content)


def notes(plan: Plan) -> Iterator[str]:
    """What a person should know of the run before it begins."""
    from tessera.puzzle.serve import gguf_types, vllm

    facts, request = plan.facts, plan.request
    spent = facts.rates["spent"]
    if request.budget_minutes is not None and plan.seconds + spent > 60 * request.budget_minutes + 1:
        yield f"this is the shortest run, and it takes longer than the budget of {request.budget_minutes:g} min"
    if (slowdown := facts.rates["slowdown"]) > BUSY:
        yield f"other programs were busy: while they are, everything takes about {slowdown:.1f} times as long"
    yield from texts.sentences(plan.text)
    most = facts.parameters / facts.outside
    yield (
        f"embedding and head are {100 * facts.outside / facts.parameters:.0f} % of the parameters and stay: they are "
        f"read for every token, so the whole model becomes at most about {most:.1f} times as fast"
    )
    if "speedup" in request.limit and request.limit["speedup"] > most and plan.target["source"] in TIMED:
        yield f"a speed-up of {request.limit['speedup']:g} is beyond that: the search will probably find no child"
    if request.window is not None:
        yield (
            f"attention that sees the last {request.window} tokens is searched; how much is lost is measured on "
            f"{plan.text.window} tokens at a time, and not beyond"
        )
    if plan.sizes.space == "small":
        yield "little time: a small space is searched; more minutes search all variants"
    gguf = "a GGUF file" if request.model.startswith("package:") else "GGUF, see docs/compress.md"
    gguf += "" if request.window is None else ", if no window is chosen"
    served = {
        f"llama.cpp ({gguf})": facts.family in gguf_types.ARCHITECTURES,
        f"vLLM ({vllm.PLUGIN})": facts.family in vllm.FAMILIES,
    }
    yield ", ".join(["served by: transformers with the child's own code", *(name for name in served if served[name])])
    if unserved := [name.partition(" ")[0] for name in served if not served[name]]:
        yield f"no way is known to serve children of {facts.family} by {' or '.join(unserved)}"
    if plan.target["hardware"] == "cpu":
        engine = "llama.cpp" if plan.target["source"] == "llama.cpp" else "torch"
        yield f"times are those of {engine} with weights in {plan.target['dtype']}"
    if plan.target["source"] not in TIMED:
        yield f"times on {request.target} are computed, not measured: the card has no measured speed"
    if not request.tasks:
        yield "tasks are left out of the card"
    if plan.cores < request.cores:
        yield f"memory allows {plan.cores} jobs at once, not {request.cores}"


def limit_words(limit: Mapping[str, Any]) -> str:
    """`1.3 times as fast, 60% of the memory`."""
    words = {
        "speedup": lambda x: f"{x:g} times as fast",
        "throughput": lambda x: f"{x:g} tokens per second",
        "memory": lambda x: f"at most {x if isinstance(x, str) else f'{x:g} MiB'} of memory",
    }
    return ", ".join(words[key](value) for key, value in limit.items())


def hours(seconds: float) -> str:
    """`42 s`, `12 min`, `3.4 h`."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def lines(plan: Plan) -> Iterator[str]:
    """The plan as text."""
    facts, sizes, space = plan.facts, plan.sizes, plan.facts.spaces[plan.sizes.space]
    yield f"{plan.request.name}: {facts.family}, {facts.parameters / 1e6:,.0f} M parameters, {facts.layers} layers"
    where = f"{plan.target['hardware']}, {plan.target['source']}, {plan.target['dtype']}"
    load = plan.target["workload"]
    yield f"target  {plan.request.target} ({where}): batch {load['batch']}, {load['prefill']} + {load['decode']} tokens"
    yield f"goal    the whole model {limit_words(plan.request.limit)}"
    yield f"search  attention: parent, {', '.join(space['attention'])}; FFN: parent, {', '.join(space['ffn'])}"
    yield (
        f"text    {sizes.calibration:,} tokens for the block library, {sizes.score_windows * sizes.score_window:,} for "
        f"scores, {sizes.refit:,} for the refit, {sizes.healing:,} of healing, "
        f"{sizes.test_windows * sizes.test_window:,} of each source for the test"
    )
    yield f"memory  about {plan.memory / GIB:.1f} GiB, {plan.cores} jobs at once"
    yield f"disk    about {plan.disk / GIB:.1f} GiB"
    yield f"time    about {hours(plan.seconds)}:"
    for step in plan.steps:
        yield f"    {step.name:16} {hours(step.seconds):>7}"
    for note in notes(plan):
        yield f"* {note}"
