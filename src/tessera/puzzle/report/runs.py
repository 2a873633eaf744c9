"""A run for each step of the Puzzle study that one compares with others: layers, cost tables, points, children."""

from collections.abc import Iterator
from typing import Any

from tessera.common.files import Json
from tessera.common.run_files import RunRecord
from tessera.puzzle.params import PuzzleParams
from tessera.puzzle.report import tables
from tessera.puzzle.report.results import SUBBLOCKS, Results

FIGURES = "reports/figures/puzzle"
#: Cost of a choice: parameters and KV cache of its blocks at the target's workload, MiB.
MEMORY = "stats.memory_mib"


def records(found: Results, params: PuzzleParams, seed: int) -> Iterator[tuple[str, RunRecord]]:
    """Yield RULE/NAME, where the run's file belongs, and the run."""
    yield from _library(found, params, seed)
    yield from _costs(found, params, seed)
    yield from _frontier(found, params, seed)
    yield from _children(found, params, seed)


def _run(
    rule: str,
    wildcards: Json,
    params: Json,
    seed: int,
    device: str,
    metrics: Json,
    figures: tuple[str, ...],
    **more: Any,
) -> tuple[str, RunRecord]:
    pairs = [f"{key}={value}" for key, value in wildcards.items()]
    record = RunRecord(
        experiment=rule.replace("_", "/", 1),
        name="/".join([rule, *pairs]),
        params={**{key: value for key, value in wildcards.items()}, **params, "seed": seed},
        tags={
            "snakemake.rule": rule,
            "snakemake.wildcards": ", ".join(pairs),
            "device": device,
            "seed": str(seed),
            **{key: str(value) for key, value in wildcards.items()},
        },
        metrics={key: float(value) for key, value in metrics.items() if value is not None and value == value},
        figures=[f"{FIGURES}/{name}.svg" for name in figures],
        **more,
    )
    return f"{rule}/{'-'.join(pairs)}", record


def _library(found: Results, params: PuzzleParams, seed: int) -> Iterator[tuple[str, RunRecord]]:
    sections = {
        "library": params.library.model_dump(mode="json"),
        "calibration": params.calibration.model_dump(mode="json"),
    }
    for layer in found.layers:
        for subblock in SUBBLOCKS:
            metrics, history = {}, {}
            for name, record in found.library[layer].items():
                kind, _, variant = name.partition(".")
                if kind != subblock:
                    continue
                for phase in ("paper", "least_squares", "distilled"):
                    for loss, value in record.get(phase, {}).items():
                        metrics[f"{variant}/{phase}/{loss}"] = value
                metrics[f"{variant}/kl_div"] = found.scores[layer][subblock][variant]["kl_div"]
                if "training" in record:
                    curve = record["training"]
                    history[f"{variant}/loss"] = list(zip(curve["tokens"], curve["loss"], strict=True))
            wildcards = {"layer": layer, "subblock": subblock}
            figures = ("library", "training", "scores")
            yield _run("puzzle_library", wildcards, sections, seed, "cpu", metrics, figures, history=history)


def _costs(found: Results, params: PuzzleParams, seed: int) -> Iterator[tuple[str, RunRecord]]:
    for target, table in found.costs.items():
        columns = ("prefill_ms", "decode_ms", "runtime_ms", "memory_mib", "parameters", "spread")
        metrics = {
            f"{row['subblock']}.{row['variant']}/{column}".replace(".-", ""): row[column]
            for row in table.to_dict("records")
            for column in columns
        }
        section = {"target_of": params.costs.targets[target].model_dump(mode="json")}
        device = str(table["hardware"].iloc[0])
        yield _run("puzzle_costs", {"target": target}, section, seed, device, metrics, ("layer_costs",))


def _frontier(found: Results, params: PuzzleParams, seed: int) -> Iterator[tuple[str, RunRecord]]:
    sections = {"search": params.search.model_dump(mode="json")}
    memory = {
        (target, point["method"], point["speedup"]): point["costs"].get(MEMORY)
        for target, one in found.frontier.items()
        for point in one["points"]
        if point["blocks"]
    }
    for row in tables.frontier(found).to_dict("records"):
        wildcards = {key: row[key] for key in ("target", "method", "speedup")}
        metrics = {key: value for key, value in row.items() if key not in (*wildcards, "status")}
        metrics["blocks_memory_mib"] = memory.get(tuple(wildcards.values()))
        device = str(found.costs[row["target"]]["hardware"].iloc[0])
        yield _run("puzzle_frontier", wildcards, sections, seed, device, metrics, ("frontier", "choices"))


def _children(found: Results, params: PuzzleParams, seed: int) -> Iterator[tuple[str, RunRecord]]:
    for row in tables.results(found).to_dict("records"):
        target, method = row["target"], row["method"]
        if method == "parent":
            continue
        for schedule in ("equal", "full"):
            if (target, schedule if schedule == "full" else method) not in found.curves or (
                schedule == "full" and method != found.kept
            ):
                continue
            curve = found.curves[target, "full" if schedule == "full" else method]
            metrics = {key: value for key, value in row.items() if key not in ("target", "method")}
            metrics["blocks_memory_mib"] = found.children[target]["children"][method]["costs"].get(MEMORY)
            if schedule == "equal":
                metrics = {key: value for key, value in metrics.items() if not key.startswith(("full_", "cpu_"))}
            series = ("kl_div", "cosine", "lm_loss")
            history = {f"healing/{name}": list(zip(curve["tokens"], curve[name], strict=True)) for name in series}
            sections = {"search": params.search.model_dump(mode="json"), "heal": _heal(params, schedule)}
            wildcards = {"target": target, "method": method, "schedule": schedule}
            figures = ("healing", "evaluation", "layer_costs")
            device = str(found.costs[target]["hardware"].iloc[0])
            note = f"`{' '.join(found.children[target]['children'][method]['blocks'])}`"
            yield _run("puzzle_child", wildcards, sections, seed, device, metrics, figures, history=history, note=note)


def _heal(params: PuzzleParams, schedule: str) -> Json:
    section = params.heal.model_dump(mode="json")
    return {key: value for key, value in section.items() if key not in ("equal", "full")} | {
        schedule: section[schedule]
    }
