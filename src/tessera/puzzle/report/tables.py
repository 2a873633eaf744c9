"""Tables and numbers of the main chain, computed from its result files."""

from collections.abc import Sequence

import pandas as pd

from tessera.common.files import Json
from tessera.common.intervals import known
from tessera.puzzle.costs.lookup import child_cost
from tessera.puzzle.models.space import PARENT, compose
from tessera.puzzle.report.results import (
    GROUPS,
    PHASES,
    Results,
)
from tessera.puzzle.scores import association


def children(results: Results) -> pd.DataFrame:
    """Children of every method beside the parent: predicted and measured quality and speed, with standard errors.

    One row per target and method, and one for the parent.
    """
    rows, whole = [_parent_row(results)], [compose(PARENT, PARENT)] * len(results.layers)
    for target in results.targets:
        for method in results.methods:
            child = results.children[target]["children"][method]
            row: Json = {
                "target": target,
                "method": method,
                "blocks_speedup": child["speed"]["blocks_speedup"],
                "model_speedup": child["speed"]["model_speedup"],
                "parameters_share": _parameters(results, target, child["blocks"]) / _parameters(results, target, whole),
                "predicted_kl": child["value"],
                "predicted_kl_se": results.predicted_se(child["blocks"]),
            }
            for state, domains in results.states(target, method).items():
                for group in GROUPS:
                    for metric in ("kl_div", "top1"):
                        row[f"{state}_{group}_{metric}"] = domains[group][metric]
                        row[f"{state}_{group}_{metric}_se"] = known(domains[group][f"{metric}_se"])
                    row[f"{state}_{group}_perplexity"] = domains[group]["perplexity"]
                    row[f"{state}_{group}_perplexity_se"] = domains[group]["perplexity"] * known(
                        domains[group]["lm_loss_se"]
                    )
            if method == results.kept:
                row |= _speed(results, target)
            rows.append(row)
    return pd.DataFrame(rows)


def _parent_row(results: Results) -> Json:
    domains = results.states(results.targets[0], results.kept)["assembled"]
    row: Json = {"target": "", "method": "parent", "blocks_speedup": 1.0, "model_speedup": 1.0, "parameters_share": 1.0}
    row |= {"predicted_kl": 0.0, "predicted_kl_se": 0.0}
    for group in GROUPS:
        row |= {f"parent_{group}_perplexity": domains[group]["parent_perplexity"]}
    return row | _speed(results, "parent")


def _speed(results: Results, model: str) -> Json:
    """Speed and memory of one model in everything that was served; its name begins the columns."""
    row: Json = {}
    for name, serving in results.served.items():
        served = serving["models"].get(model)
        if served is None:  # this engine cannot compute it
            continue
        row |= {
            f"{name}_prefill_tokens_per_s": served["measured"]["prefill_tokens_per_s"],
            f"{name}_decode_tokens_per_s": served["measured"].get("decode_tokens_per_s"),
            f"{name}_memory_mib": served["memory"]["model_mib"],
        }
        for phase in PHASES:
            row[f"{name}_{phase}_speedup"] = served["speedup"].get(phase)
            if "predicted_speedup" in served:
                row[f"{name}_{phase}_speedup_predicted"] = served["predicted_speedup"].get(phase)
    return row


def _parameters(results: Results, target: str, blocks: Sequence[str]) -> float:
    return child_cost(results.costs[target], blocks)["parameters"]


def frontier(results: Results) -> pd.DataFrame:
    """Points of the frontiers: budget, predicted KL with its standard error, and the child's KL if it was measured."""
    rows = []
    for target, search in results.frontier.items():
        for point in search["points"]:
            row = {key: point[key] for key in ("method", "speedup", "status", "bound", "relaxation")}
            row = {"target": target} | row | {"predicted_kl": point["value"]}
            if point["blocks"]:
                row["predicted_kl_se"] = results.predicted_se(point["blocks"])
                row |= {key: point["speed"][key] for key in ("blocks_speedup", "model_speedup")}
            row |= {f"measured_{key}": value for key, value in point.get("measured", {}).items()}
            rows.append(row)
    return pd.DataFrame(rows)


def costs(results: Results) -> pd.DataFrame:
    """Cost of every variant on every target, with its source and provenance, and its time relative to the parent's.

    A parent whose layers differ has one row for each kind of layer, which `layers` lists.
    """
    tables, kind = [], ["subblock", "layers"]
    for target, table in results.costs.items():
        parent = table[table.variant == PARENT].set_index(kind).runtime_ms
        of_kind = parent.reindex(pd.MultiIndex.from_frame(table[kind])).to_numpy()
        relative = table.assign(runtime_relative_to_parent=table.runtime_ms / of_kind)
        relative.insert(0, "target", target)
        tables.append(relative)
    return pd.concat(tables, ignore_index=True)


def library(results: Results) -> pd.DataFrame:
    """Losses of every variant of every layer after each phase, the state that was kept, and its scores."""
    rows = []
    for layer in results.layers:
        for name, record in results.library[layer].items():
            subblock, _, variant = name.partition(".")
            row = {"layer": layer, "subblock": subblock, "variant": variant, "parameters": record["parameters"]}
            for phase in ("paper", "least_squares", "distilled"):
                for loss in ("per_token", "scalar"):
                    row[f"{phase}_{loss}"] = record.get(phase, {}).get(loss)
            rows.append(row | {"kept": record.get("kept")} | results.scores[layer][subblock][variant])
    return pd.DataFrame(rows)


def evaluation(results: Results) -> pd.DataFrame:
    """Quality of every child in each state, one row per domain."""
    rows = [
        {"target": target, "method": method, "state": state, "domain": domain}
        | {name: value for name, value in metrics.items() if name != "by_window"}
        for target in results.targets
        for method in results.methods
        for state, domains in results.states(target, method).items()
        for domain, metrics in domains.items()
    ]
    return pd.DataFrame(rows)


def metrics(results: Results) -> Json:
    """Target -> method -> the numbers of the table `children`, without standard errors; the parent's under `parent`.

    STATE_in_domain_kept_ratio is the KL of the kept method's child divided by that of the method's, with its interval
    over documents. Scores are under `scores`: layer -> subblock -> variant -> KL; the frontiers under `frontier`.
    """
    targets: Json = {}
    for row in children(results).to_dict("records"):
        numbers = {k: v for k, v in row.items() if k not in ("target", "method") and not k.endswith("_se") and v == v}
        methods = targets.setdefault(row["target"], {}) if row["target"] else targets
        methods[row["method"]] = numbers
    for target in results.targets:
        kept = results.states(target, results.kept)
        for method in results.methods:
            for state, domains in results.states(target, method).items():
                if state in kept and method != results.kept:
                    pair = (kept[state]["in_domain"]["by_window"], domains["in_domain"]["by_window"])
                    targets[target][method][f"{state}_in_domain_kept_ratio"] = association.ratio(*pair)
    scores = {
        str(layer): {
            subblock: {variant: score["kl_div"] for variant, score in variants.items()}
            for subblock, variants in results.scores[layer].items()
        }
        for layer in results.layers
    }
    return targets | {"scores": scores, "frontier": _predictions(results)}


def _predictions(results: Results) -> Json:
    """Target -> method -> predicted and measured KL at each speed-up, and by how much the prediction errs at most.

    The error is a share of the prediction; only children that were measured count. `cosine` is that of the prediction
    with interactions.
    """
    table = frontier(results)
    if "measured_kl_div" not in table:
        return {}
    predictions: Json = {}
    for (target, method), rows in table.dropna(subset="measured_kl_div").groupby(["target", "method"]):
        points = {
            f"{row.speedup:g}": {"predicted_kl": row.predicted_kl, "kl_div": row.measured_kl_div}
            for row in rows.itertuples()
        }
        errors = (rows.measured_kl_div / rows.predicted_kl - 1).abs()
        cosine = {"cosine": results.frontier[target]["cosine"]} if method == "quadratic" else {}
        predictions.setdefault(target, {})[method] = points | {"largest_error": float(errors.max())} | cosine
    return predictions
