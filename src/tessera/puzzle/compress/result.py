"""What a run found: the child as a directory, and its card."""

import csv
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tessera.common import files
from tessera.puzzle.compress.plan import Plan, limit_words

CHILD = "child"


def read(plan: Plan, out: Path) -> dict[str, Any]:
    """The numbers of the run in a directory, as plain values."""
    name, method = plan.request.target, plan.request.method
    evaluation = files.read_json(out / f"data/puzzle/evaluation/{name}-{method}.json")
    choices = files.read_json(out / f"data/puzzle/search/{name}/children.json")["children"][method]
    report = files.read_json(out / f"data/puzzle/export/{name}/export.json")
    found: dict[str, Any] = {
        "child": str(out / CHILD),
        "blocks": choices["blocks"],
        "predicted": {"kl_div": choices["value"], "speedup": choices["speed"]["model_speedup"]},
        "quality": {
            domain: {key: value for key, value in metrics.items() if key != "by_window"}
            for domain, metrics in evaluation["states"]["full"].items()
        },
        "before_healing": evaluation["states"]["assembled"]["in_domain"]["kl_div"],
        "validation": {
            step: files.read_json(out / f"data/puzzle/{path}.json")["validation"]
            for step, path in (("refit", f"refits/{name}"), ("healing", f"curves/{name}/full"))
        },
        "gguf": report["gguf"],
        "refusal": report["refusal"],
        "speed": None,
        "tasks": None,
        "samples": None,
        "minutes": minutes(out),
    }
    path = out / "data/puzzle/speed.json"
    # Of a computed target, what was served instead says nothing of its speed.
    if path.is_file() and name in (served := files.read_json(path)["served"]):
        models = served[name]["models"]
        found["speed"] = {model: models[model] for model in ("parent", name)}
    if plan.sizes.items:
        found["tasks"] = tasks(out / "data/puzzle_studies/tasks", name)
    if (path := out / "data/puzzle_studies/tasks/samples.json").is_file():
        found["samples"] = files.read_json(path)
    return found


def tasks(place: Path, target: str) -> dict[str, dict[str, Any]]:
    """Accuracy of parent and child on the reported items of each set, and of a guess."""
    from tessera.puzzle.scores import task_items

    models = ("parent", f"{target}-full")
    answered = task_items.read(place / "items.parquet", [place / f"answers/{model}.parquet" for model in models], 0.0)
    every = answered.every
    accuracy = {}
    for name in dict.fromkeys(every.sets):
        chosen = every.sets == name
        accuracy[str(name)] = {
            "items": int(chosen.sum()),
            "guess": float(np.mean(every.chance[chosen])),
            "parent": float(np.mean(every.right[models[0]][chosen])),
            "child": float(np.mean(every.right[models[1]][chosen])),
        }
    return accuracy


def minutes(out: Path) -> dict[str, float]:
    """Minutes of all jobs of each rule, by the benchmark files of the directory."""
    taken: dict[str, float] = defaultdict(float)
    place = out / "logs/benchmarks"
    for path in sorted(place.rglob("*.tsv")):
        rule = path.relative_to(place).parts[0].removesuffix(".tsv")
        with path.open(newline="") as file:
            taken[rule] += sum(float(row["s"]) for row in csv.DictReader(file, delimiter="\t")) / 60
    return {rule: round(value, 2) for rule, value in taken.items()}


def publish(plan: Plan, found: Mapping[str, Any], out: Path) -> None:
    """Put the exported child, its files linked, into out/child, with what was measured added to its card.

    A child of one size is there as a plain class of the parent's.
    """
    source = made = out / f"data/puzzle/export/{plan.request.target}"
    if plan.request.stock:
        from tessera.puzzle.serve.stock import export

        source = made.with_name(f"{made.name}-plain")
        export.write(made, source, "hf", files.read_json(made / "config.json")["dtype"])
    with files.replacing_directory(out / CHILD) as directory:
        for path in source.iterdir():
            if path.name != "README.md":
                os.link(path, directory / path.name)
        for path in made.glob("*.gguf"):
            if not (directory / path.name).exists():
                os.link(path, directory / path.name)
        card = (source / "README.md").read_text(encoding="utf-8")
        if plan.request.model.startswith("directory:"):  # a path of this machine says nothing elsewhere
            card = card.replace(plan.request.model.removeprefix("directory:"), plan.request.name)
        added = "\n\n".join(part for part in (_speed(found), _tasks(found), _samples(found)) if part)
        files.write_text(directory / "README.md", card.rstrip() + "\n\n" + added + "\n")


def _speed(found: Mapping[str, Any]) -> str:
    if not found["speed"]:
        return "## Measured speed\n\nNot measured: the target is not this machine."
    parent, child = found["speed"].values()
    rows = ["## Measured speed", "", "| | parent | child | ratio |", "|---|--:|--:|--:|"]
    for phase, words in (("prefill", "prompt"), ("decode", "written"), ("runtime", "all")):
        if phase in child["speedup"]:
            numbers = [m["measured"][f"{phase}_tokens_per_s"] for m in (parent, child)]
            rows.append(
                f"| {words} tokens per second | {numbers[0]:.4g} | {numbers[1]:.4g} | {child['speedup'][phase]:.2f} |"
            )
    memory = [m["memory"]["model_mib"] for m in (parent, child)]
    rows.append(f"| memory, MiB | {memory[0]:.0f} | {memory[1]:.0f} | {memory[1] / memory[0]:.2f} |")
    return "\n".join(rows)


def _tasks(found: Mapping[str, Any]) -> str:
    if not found["tasks"]:
        return "## Tasks\n\nNot asked."
    rows = ["## Tasks", "", "Share of right choices; few items, so differences below 0.15 say little.", ""]
    rows += ["| set | items | guess | parent | child |", "|---|--:|--:|--:|--:|"]
    for name, of_set in found["tasks"].items():
        numbers = " | ".join(f"{of_set[key]:.2f}" for key in ("guess", "parent", "child"))
        rows.append(f"| {name} | {of_set['items']} | {numbers} |")
    return "\n".join(rows)


def _samples(found: Mapping[str, Any]) -> str:
    if not found["samples"]:
        return ""
    rows = ["## Samples", "", "Greedy continuations of the beginning of a test document."]
    for sample in found["samples"]:
        rows += ["", f"> {_one_line(sample['prompt'])}", ""]
        rows += [
            f"* {'parent' if m == 'parent' else 'child'}: {_one_line(text)}" for m, text in sample["greedy"].items()
        ]
    return "\n".join(rows)


def _name(model: str) -> str:
    return model if model == "parent" else "child"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def lines(plan: Plan, found: Mapping[str, Any], out: Path) -> Iterator[str]:
    """The result as text, and what to do next."""
    yield f"child   {found['child']} (asked for: {limit_words(plan.request.limit)})"
    for domain, metrics in found["quality"].items():
        if domain != "in_domain" or len(found["quality"]) > 2:
            yield (
                f"{domain:8}KL {metrics['kl_div']:.3f} nats per token, same first token {100 * metrics['top1']:.0f} %, "
                f"perplexity {metrics['perplexity']:.1f} (parent {metrics['parent_perplexity']:.1f})"
            )
    yield f"healing KL {found['before_healing']:.3f} before, {found['quality']['in_domain']['kl_div']:.3f} after"
    for step, record in found["validation"].items():
        if not record["share"]:
            yield (
                f"        the {step} was taken back: on validation text KL {record['before']:.3f} before and "
                f"{record['after']:.3f} after"
            )
    speed = f"{found['predicted']['speedup']:.2f} times as fast by the cost table"
    if found["speed"]:
        child = found["speed"][plan.request.target]["speedup"]
        speed += f", {child['runtime']:.2f} times measured"
    yield f"speed   {speed}"
    for name, of_set in (found["tasks"] or {}).items():
        yield f"tasks   {name}: parent {of_set['parent']:.2f}, child {of_set['child']:.2f}, guess {of_set['guess']:.2f}"
    for sample in (found["samples"] or [])[:1]:
        yield f"sample  {_one_line(sample['prompt'])} ..."
        for model, text in sample["greedy"].items():
            yield f"  {_name(model):8}{_one_line(text)[:100]}"
    yield f"served  {'GGUF in the directory, and ' if found['gguf'] else ''}transformers with trust_remote_code=True"
    if found["refusal"]:
        yield f"        no GGUF: {found['refusal']}"
    yield f"card    {out / CHILD / 'README.md'}"
    longest = sorted(found["minutes"].items(), key=lambda item: -item[1])[:4]
    words = ", ".join(f"{rule.removeprefix('puzzle_')} {taken:.1f}" for rule, taken in longest)
    yield f"time    {sum(found['minutes'].values()):.0f} minutes of all jobs: {words}"
    yield "next    more tokens heal more: the same command with a larger --budget-minutes goes on from what is there;"
    yield "        another limit or target: another --out; all parameters: docs/compress.md"
