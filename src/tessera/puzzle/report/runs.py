"""The study's runs for MLflow, one per subblock and layer, cost table, frontier point and healed child."""

from collections.abc import Iterator
from typing import Any

from tessera.common.files import Json
from tessera.common.run_files import RunRecord
from tessera.puzzle.costs.lookup import ALL
from tessera.puzzle.report import tables
from tessera.puzzle.report.results import SUBBLOCKS, Results

#: Data sets that all jobs but those of the costs read.
DATA = ["data/parent", "data/tokens"]
#: Cost of a choice: parameters and KV cache of its blocks at the target's workload, MiB.
MEMORY = "stats.memory_mib"


def runs(results: Results) -> Iterator[RunRecord]:
    """One run per subblock and layer of the library, cost table, frontier point and healed child."""
    yield from _library(results)
    yield from _costs(results)
    yield from _frontier(results)
    yield from _children(results)


def _record(
    results: Results, labels: Json, params: Json, metrics: Json, device: str | None = None, **others: Any
) -> RunRecord:
    """A run; labels become parameters and tags, and metrics without a value are left out.

    device is a target's hardware; if there is none, where models compute.
    """
    return RunRecord(
        params={**labels, **params, "seed": results.seed},
        tags={"device": device or results.params.compute.device, "seed": str(results.seed)}
        | {key: str(value) for key, value in labels.items()},
        metrics={key: float(value) for key, value in metrics.items() if value is not None and value == value},
        **others,
    )


def _library(results: Results) -> Iterator[RunRecord]:
    for layer in results.layers:
        for subblock in SUBBLOCKS:
            metrics, history = {}, {}
            for name, record in results.library[layer].items():
                kind, _, variant = name.partition(".")
                if kind != subblock:
                    continue
                for phase in ("paper", "least_squares", "distilled"):
                    for loss, value in record.get(phase, {}).items():
                        metrics[f"{variant}/{phase}/{loss}"] = value
                metrics[f"{variant}/kl_div"] = results.scores[layer][subblock][variant]["kl_div"]
                if "training" in record:
                    curve = record["training"]
                    history[f"{variant}/loss"] = list(zip(curve["tokens"], curve["loss"], strict=True))
            yield _record(
                results,
                {"layer": layer, "subblock": subblock},
                _sections(results, "library", "calibration"),
                metrics,
                experiment="puzzle/library",
                name=f"layer {layer} {subblock}",
                job=f"puzzle_library_part/{layer % results.params.library.jobs}",
                inputs=DATA,
                history=history,
                figures=["library", "training", "scores"],
            )


def _costs(results: Results) -> Iterator[RunRecord]:
    for target, table in results.costs.items():
        columns = ("prefill_ms", "decode_ms", "runtime_ms", "memory_mib", "parameters", "spread")
        metrics = {f"{_cost_name(row)}/{column}": row[column] for row in table.to_dict("records") for column in columns}
        yield _record(
            results,
            {"target": target},
            {"cost_target": results.params.costs.targets[target].model_dump(mode="json")},
            metrics,
            _device(results, target),
            experiment="puzzle/costs",
            name=target,
            job=f"puzzle_costs_target/{target}",
            inputs=["data/parent"],
            figures=["layer_costs"],
        )


def _cost_name(row: Json) -> str:
    """Subblock and variant of a row, and its layers, if it does not hold for all."""
    name = f"{row['subblock']}.{row['variant']}".removesuffix(".-")
    return name if row["layers"] == ALL else f"{name} layers {row['layers']}"


def _frontier(results: Results) -> Iterator[RunRecord]:
    memory = {
        (target, point["method"], point["speedup"]): point["costs"].get(MEMORY)
        for target, search in results.frontier.items()
        for point in search["points"]
        if point["blocks"]
    }
    for row in tables.frontier(results).to_dict("records"):
        labels = {key: row[key] for key in ("target", "method", "speedup")}
        metrics = {key: value for key, value in row.items() if key not in (*labels, "status")}
        metrics["blocks_memory_mib"] = memory.get(tuple(labels.values()))
        yield _record(
            results,
            labels,
            _sections(results, "search"),
            metrics,
            _device(results, row["target"]),
            experiment="puzzle/frontier",
            name=f"{row['target']} {row['speedup']:g}x {row['method']}",
            job=f"puzzle_frontier/{row['target']}",
            inputs=DATA,
            figures=["frontier", "choices"],
        )


def _children(results: Results) -> Iterator[RunRecord]:
    for row in tables.children(results).to_dict("records"):
        target, method = row["target"], row["method"]
        for schedule, healing in (("equal", method), ("full", "full")):
            if (target, healing) not in results.curves or (schedule == "full" and method != results.kept):
                continue
            curve = results.curves[target, healing]
            child = results.children[target]["children"][method]
            metrics = {key: value for key, value in row.items() if key not in ("target", "method")}
            metrics["blocks_memory_mib"] = child["costs"].get(MEMORY)
            if schedule == "equal":
                of_kept = ("full_", "refitted_", *(f"{name}_" for name in results.served))
                metrics = {key: value for key, value in metrics.items() if not key.startswith(of_kept)}
            series = ("kl_div", "cosine", "lm_loss")
            yield _record(
                results,
                {"target": target, "method": method, "schedule": schedule},
                _sections(results, "search", *(["refit"] if schedule == "full" else []), heal=_heal(results, schedule)),
                metrics,
                _device(results, target),
                experiment="puzzle/child",
                name=f"{target} {method} {schedule}",
                job=f"puzzle_heal/{target}/{method}" if schedule == "equal" else f"puzzle_heal_full/{target}",
                inputs=DATA,
                history={f"healing/{name}": list(zip(curve["tokens"], curve[name], strict=True)) for name in series},
                figures=["healing", "evaluation", "layer_costs"],
                note=f"`{' '.join(child['blocks'])}`",
            )


def _sections(results: Results, *names: str, **others: Json) -> Json:
    """Sections of params.yaml, and others that are not whole."""
    return {"puzzle": {name: getattr(results.params, name).model_dump(mode="json") for name in names} | others}


def _device(results: Results, target: str) -> str:
    return str(results.costs[target]["hardware"].iloc[0])


def _heal(results: Results, schedule: str) -> Json:
    """The section `puzzle.heal` with one of its schedules."""
    section = results.params.heal.model_dump(mode="json")
    return {key: value for key, value in section.items() if key not in ("equal", "full")} | {
        schedule: section[schedule]
    }
