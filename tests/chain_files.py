"""All result files of the Puzzle chain, made up for a small parent, in the forms that the stages write.

Costs and choices are those of the real stages; scores, losses and evaluations are drawn at random.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from shapes import SPACE

from tessera.common import files
from tessera.puzzle.costs.lookup import child_cost
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.costs.tables import of_target
from tessera.puzzle.models.architecture import from_config
from tessera.puzzle.models.space import decompose
from tessera.puzzle.stages import search_target

PARENT = from_config(
    {
        "model_type": "llama",
        "num_hidden_layers": 4,
        "hidden_size": 576,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "vocab_size": 1000,
        "tie_word_embeddings": True,
    }
)
METHODS = ("mip", "greedy", "max_params", "homogeneous", "random")
DOMAINS = ("wiki_leads", "speeches", "chat", "owt", "in_domain", "out_of_domain")
LEVEL = {"wiki_leads": 0.9, "speeches": 1.1, "chat": 1.0, "owt": 1.3, "in_domain": 1.0, "out_of_domain": 1.3}
WORKLOADS = {"h100": {"batch": 64, "prefill": 512, "decode": 64}, "cpu": {"batch": 1, "prefill": 128, "decode": 128}}
#: What the search's stage reads besides, if it runs children.
OTHERS = {"space": SPACE.model_dump(mode="json"), "scores": {"jobs": 1, "windows": 1, "window": 8}, "compute": {}}
SOURCES = {"h100": "kernel-database", "cpu": "measured"}
#: What became of a refit and a healing that helped.
KEPT = {"before": 0.3, "after": 0.2, "kept": 0.2, "share": 1.0}


def write(root: Path, layers: int = 4, healed: float = 0.7) -> dict[str, Any]:
    """Write the files under root; return them by the names of the report stages' arguments.

    healed is what equal healing leaves of the KL of the MIP's children; of the others' it leaves 0.7.
    """
    rng = np.random.default_rng(0)
    scores = _scores(rng, layers)
    library = [_library(root / "library" / f"part_{part}", range(layers)[part::2], rng) for part in range(2)]
    parts = []
    for part in range(2):
        parts.append(root / "scores" / f"part_{part}.json")
        files.write_json(parts[-1], {layer: scores[layer] for layer in range(layers)[part::2]})
    found: dict[str, Any] = {"library": library, "scores": parts}
    found |= {name: [] for name in ("costs", "frontier", "children", "curves", "refits", "evaluation")}
    for target, workload in WORKLOADS.items():
        costs = root / "costs" / f"{target}.parquet"
        files.write_parquet(costs, _costs(target, workload))
        found["costs"].append(costs)
        searched = _search(root / "search" / target, target, parts, costs)
        _measure(searched["frontier"], root / "frontier" / f"{target}.json", scores, rng)
        found["frontier"].append(root / "frontier" / f"{target}.json")
        found["children"].append(searched["children"])
        children = files.read_json(searched["children"])["children"]
        for method in METHODS:
            kl = 1.1 * children[method]["value"]
            states = {"assembled": kl, "equal": kl * (healed if method == "mip" else 0.7)}
            if method == "mip":
                states |= {"refitted": 0.8 * kl, "full": 0.5 * kl}
                found["curves"].append(_curve(root / "curves" / target / "full.json", kl, 60, {"validation": KEPT}))
                found["refits"].append(root / "refits" / f"{target}.json")
                files.write_json(found["refits"][-1], {"fits": [], "validation": KEPT})
            found["curves"].append(_curve(root / "curves" / target / f"{method}.json", kl, 10))
            found["evaluation"].append(root / "evaluation" / f"{target}-{method}.json")
            evaluated = {state: _domains(level) for state, level in states.items()}
            row = {"method": method, "target": target, "states": evaluated, "choice": children[method]}
            files.write_json(found["evaluation"][-1], row)
    found["speed"] = root / "speed.json"
    files.write_json(found["speed"], _speed(found, layers))
    return found


def _scores(rng: np.random.Generator, layers: int) -> dict[int, Any]:
    def metrics(kl: float) -> dict[str, float]:
        made = {"kl_div": kl, "lm_loss": 3 + kl, "top1": math.exp(-kl)}
        return made | {f"{name}_se": 0.1 * kl for name in ("kl_div", "lm_loss", "top1")}

    damage = {
        "attention": {"kv1": 0.02, "linear": 0.03, "no_op": 0.05},
        "ffn": {"ffn75": 0.01, "ffn50": 0.03, "ffn25": 0.06, "linear": 0.12, "no_op": 0.2},
    }
    scores: dict[int, Any] = {}
    for layer in range(layers):
        scores[layer] = {
            subblock: {name: metrics(kl * math.exp(rng.normal(0, 0.8))) for name, kl in variants.items()}
            for subblock, variants in damage.items()
        }
        scores[layer]["attention"]["parent"] = metrics(0.0)
    return scores


def _library(directory: Path, layers: range, rng: np.random.Generator) -> Path:
    for layer in layers:
        record = {}
        for subblock, variants in (("attention", SPACE.attention), ("ffn", SPACE.ffn)):
            for variant in variants:
                loss = 0.1 * math.exp(rng.normal(0, 0.5))
                name, one = f"{subblock}.{variant}", {"paper": {"per_token": loss, "scalar": 0.8 * loss}}
                record[name] = one | {"parameters": 0 if variant == "no_op" else 1000}
                if variant == "no_op":
                    continue
                record[name]["least_squares"] = {"per_token": 0.6 * loss, "scalar": 0.5 * loss}
                if name != "ffn.linear":
                    steps = np.arange(1, 17)
                    record[name] |= {
                        "distilled": {"per_token": 0.5 * loss, "scalar": 0.4 * loss},
                        "training": {"tokens": list(512 * steps), "loss": list(loss * (0.5 + 0.3 / steps))},
                        "kept": "distilled",
                    }
        files.write_json(directory / f"layer_{layer}.json", record)
    return directory


def _costs(target: str, workload: dict[str, int]) -> Any:
    """The H100's from its database; the CPU's by the roofline, made to look measured: no timing in a test."""
    shared = {"dtype": "bfloat16", "hardware": "h100-sxm", "workload": workload}
    if target == "h100":
        return of_target(PARENT, SPACE, CostTarget(source="kernel-database", **shared))
    table = of_target(PARENT, SPACE, CostTarget(source="roofline", **shared))
    return table.assign(
        source="measured", hardware="A CPU, 1 threads", software="torch 2", dtype="float32", spread=0.01
    )


def _search(directory: Path, target: str, scores: list[Path], costs: Path) -> dict[str, Path]:
    settings = {
        "objective": "metrics.kl_div",
        "speedups": [1.1, 1.3, 1.5, 2.0],
        "child_speedup": 1.3,
        "methods": METHODS,
    }
    params = search_target.Params.model_validate_json(json.dumps({"search": settings, "seed": 0} | OTHERS))
    names = ("library", "measurement_info", "frontier", "children")
    made = {name: directory / f"{name}.json" for name in names} | {"frontier_table": directory / "frontier.csv"}
    search_target.main(params, target, scores, costs, **made)
    return made


def _measure(frontier: Path, path: Path, scores: dict[int, Any], rng: np.random.Generator) -> None:
    rows = files.read_json(frontier)
    for point in rows["points"]:
        if point["method"] == "mip":
            kl = point["value"] * math.exp(rng.normal(0.1, 0.1))
            point["measured"] = {"kl_div": kl, "kl_div_se": 0.1 * kl, "lm_loss": 3 + kl, "top1": math.exp(-kl)}
    files.write_json(path, rows)


def _domains(kl: float) -> dict[str, Any]:
    found = {}
    for domain in DOMAINS:
        one = {"kl_div": kl * LEVEL[domain], "lm_loss": 3 + kl, "top1": math.exp(-kl)}
        one |= {"kl_div_se": 0.02 * kl, "lm_loss_se": 0.03, "top1_se": 0.01}
        found[domain] = one | {"perplexity": math.exp(3 + kl), "parent_perplexity": math.exp(3), "windows": 8}
        if domain.endswith("_domain"):
            windows = one["kl_div"] * np.array([0.8, 0.9, 0.9, 1.0, 1.0, 1.1, 1.1, 1.2])
            found[domain]["by_window"] = {"kl_div": windows.tolist(), "document": [0, 0, 1, 1, 2, 2, 3, 3]}
    return found


def _curve(path: Path, kl: float, steps: int, others: dict[str, Any] = {}) -> Path:  # noqa: B006  never changed
    ramp = np.exp(-np.arange(steps) / 20)
    curve = {"tokens": list(512 * np.arange(1, steps + 1)), "kl_div": list(kl * ramp), "cosine": list(0.1 * ramp)}
    files.write_json(path, curve | {"lm_loss": list(3 + kl * ramp)} | others)
    return path


def _speed(found: dict[str, Any], layers: int) -> dict[str, Any]:
    table = files.read_parquet(found["costs"][1])
    blocks = {"parent": ["parent+parent"] * layers}
    for target, path in zip(WORKLOADS, found["children"], strict=True):
        blocks[target] = files.read_json(path)["children"]["mip"]["blocks"]
    predicted = {name: child_cost(table, choice) for name, choice in blocks.items()}
    models = {}
    for name, choice in blocks.items():
        own = predicted[name]
        measured = {f"{phase}_ms": 1.05 * own[f"{phase}_ms"] for phase in ("prefill", "decode", "runtime")}
        measured |= {f"{phase}_spread": 0.02 * ms for phase, ms in measured.items()}
        measured |= {"prefill_tokens_per_s": 2000.0, "decode_tokens_per_s": 20.0, "runtime_tokens_per_s": 40.0}
        ratio = {p: predicted["parent"][f"{p}_ms"] / own[f"{p}_ms"] for p in ("prefill", "decode", "runtime")}
        models[name] = {
            "parameters": 1_000_000 * (1 + sum(decompose(b) == ("parent", "parent") for b in choice)),
            "measured": measured,
            "memory": {"process_mib": 900.0, "model_mib": 600.0},
            "predicted": own,
            "speedup": ratio | {f"{phase}_spread": 0.01 for phase in ratio},
            "predicted_speedup": ratio,
            "speedup_error": dict.fromkeys(ratio, 0.0),
            "rounds": {"prefill": [measured["prefill_ms"]], "decode": [measured["decode_ms"]]},
        }
    about = {"hardware": "A CPU, 1 threads", "software": "torch 2", "repeats": 3}
    about |= {"dtype": "float32", "date": "2026-01-02T03:04:05+00:00", "workload": WORKLOADS["cpu"]}
    return {"method": "mip", "served": {"cpu": about | {"models": models}}}
