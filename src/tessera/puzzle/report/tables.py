"""Tables of the Puzzle study, and what the numbers say in words. All of it is computed from the result files."""

import math
from collections.abc import Iterable, Iterator

import pandas as pd

from tessera.common.files import Json
from tessera.common.intervals import known, plus_minus
from tessera.puzzle.report.results import (
    GROUP_NAMES,
    GROUPS,
    METHOD_NAMES,
    SPEED_GOAL,
    STATE_NAMES,
    STATES,
    SUBBLOCKS,
    Results,
)
from tessera.puzzle.scores import association

#: Standard errors by which two numbers must be apart to be told apart.
CERTAIN = 2.0


def results(found: Results) -> pd.DataFrame:
    """One row a target and method, and the parent's: predicted and measured quality and speed, with standard errors."""
    rows = [_parent_row(found)]
    for target in found.targets:
        for method in found.methods:
            child = found.children[target]["children"][method]
            row: Json = {
                "target": target,
                "method": method,
                "blocks_speedup": child["speed"]["blocks_speedup"],
                "model_speedup": child["speed"]["model_speedup"],
                "parameters_share": _parameters(found, target, child) / _parameters(found, target, None),
                "predicted_kl": child["value"],
                "predicted_kl_se": found.predicted_se(child["blocks"]),
            }
            for state, domains in found.states(target, method).items():
                for group in GROUPS:
                    for metric in ("kl_div", "top1"):
                        row[f"{state}_{group}_{metric}"] = domains[group][metric]
                        row[f"{state}_{group}_{metric}_se"] = known(domains[group][f"{metric}_se"])
                    row[f"{state}_{group}_perplexity"] = domains[group]["perplexity"]
                    row[f"{state}_{group}_perplexity_se"] = domains[group]["perplexity"] * known(
                        domains[group]["lm_loss_se"]
                    )
            if method == found.kept:
                row |= _speed(found, target)
            rows.append(row)
    return pd.DataFrame(rows)


def _parent_row(found: Results) -> Json:
    domains = found.states(found.targets[0], found.kept)["assembled"]
    row: Json = {"target": "", "method": "parent", "blocks_speedup": 1.0, "model_speedup": 1.0, "parameters_share": 1.0}
    row |= {"predicted_kl": 0.0, "predicted_kl_se": 0.0}
    for group in GROUPS:
        row |= {f"parent_{group}_perplexity": domains[group]["parent_perplexity"]}
    return row | _speed(found, "parent")


def _speed(found: Results, model: str) -> Json:
    one = found.speed["models"][model]
    row = {
        "cpu_prefill_tokens_per_s": one["measured"]["prefill_tokens_per_s"],
        "cpu_decode_tokens_per_s": one["measured"].get("decode_tokens_per_s"),
        "cpu_memory_mib": one["memory"]["model_mib"],
    }
    for phase, speedup in one["predicted_speedup"].items():
        row[f"cpu_{phase}_speedup"] = one["speedup"].get(phase)
        row[f"cpu_{phase}_speedup_predicted"] = speedup
    return row


def _parameters(found: Results, target: str, child: Json | None) -> float:
    cost = found.cost(target).parameters
    outside = cost["non_block"].iloc[0]
    if child is None:
        return outside + len(found.layers) * sum(cost[subblock, "parent"] for subblock in SUBBLOCKS)
    return outside + child["costs"]["stats.parameters"]


def frontier(found: Results) -> pd.DataFrame:
    """One row a point of a frontier: budget, predicted KL with its error, and the child's own KL where measured."""
    rows = []
    for target, one in found.frontier.items():
        for point in one["points"]:
            row = {key: point[key] for key in ("method", "speedup", "status", "bound", "relaxation")}
            row = {"target": target} | row | {"predicted_kl": point["value"]}
            if point["blocks"]:
                row["predicted_kl_se"] = found.predicted_se(point["blocks"])
                row |= {key: point["speed"][key] for key in ("blocks_speedup", "model_speedup")}
            row |= {f"measured_{key}": value for key, value in point.get("measured", {}).items()}
            rows.append(row)
    return pd.DataFrame(rows)


def costs(found: Results) -> pd.DataFrame:
    """All targets' cost tables, with the time of each variant relative to the parent's."""
    tables = []
    for target, table in found.costs.items():
        parent = table[table.variant == "parent"].set_index("subblock").runtime_ms
        one = table.assign(runtime_relative_to_parent=table.runtime_ms / table.subblock.map(parent))
        one.insert(0, "target", target)
        tables.append(one)
    return pd.concat(tables, ignore_index=True)


def library(found: Results) -> pd.DataFrame:
    """One row a layer and variant: losses after each phase, which state was kept, and the scores that resulted."""
    rows = []
    for layer in found.layers:
        for name, record in found.library[layer].items():
            subblock, _, variant = name.partition(".")
            row = {"layer": layer, "subblock": subblock, "variant": variant, "parameters": record["parameters"]}
            for phase in ("paper", "least_squares", "distilled"):
                for loss in ("per_token", "scalar"):
                    row[f"{phase}_{loss}"] = record.get(phase, {}).get(loss)
            rows.append(row | {"kept": record.get("kept")} | found.scores[layer][subblock][variant])
    return pd.DataFrame(rows)


def evaluation(found: Results) -> pd.DataFrame:
    """One row a target, method, state and domain."""
    rows = [
        {"target": target, "method": method, "state": state, "domain": domain}
        | {name: value for name, value in metrics.items() if name != "by_window"}
        for target in found.targets
        for method in found.methods
        for state, domains in found.states(target, method).items()
        for domain, metrics in domains.items()
    ]
    return pd.DataFrame(rows)


def metrics(found: Results) -> Json:
    """Target -> method -> the numbers of the results table, without standard errors; the parent's under `parent`.

    STATE_in_domain_kept_ratio is the KL of the kept method's child over that of a method's, with its interval over
    documents.
    """
    made: Json = {}
    for row in results(found).to_dict("records"):
        numbers = {k: v for k, v in row.items() if k not in ("target", "method") and not k.endswith("_se") and v == v}
        place = made.setdefault(row["target"], {}) if row["target"] else made
        place[row["method"]] = numbers
    for target in found.targets:
        kept = found.states(target, found.kept)
        for method in found.methods:
            for state, domains in found.states(target, method).items():
                if state in kept and method != found.kept:
                    pair = (kept[state]["in_domain"]["by_window"], domains["in_domain"]["by_window"])
                    made[target][method][f"{state}_in_domain_kept_ratio"] = association.ratio(*pair)
    return made


def pm(value: float | None, error: float | None = None, digits: int = 3) -> str:
    """`0.282 ± 0.012`; `-` where there is no value; whole numbers from a thousand on."""
    if value is None or math.isnan(value):
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return plus_minus(value, error, f".{digits}f") if error else f"{value:.{digits}f}"


def markdown(found: Results) -> str:
    """The results table in Markdown, its hardware and date, and what it says."""
    table = results(found)
    speed = found.speed
    budget = next(iter(found.children.values()))["speedup"]
    parent = table.iloc[0]
    lines = [
        f"Children at {budget:g} times the throughput of the parent's blocks, by what the search predicts. "
        "KL (nats) and top-1 agreement are against the parent, on test text of the training domains; ± is one standard "
        "error by document. *Equally*: every method's child with the same few tokens of distillation; *in full*: the "
        "child that is kept.",
        "",
    ]
    for target in found.targets:
        lines += [f"**{target}**: {found.hardware(target)}", ""]
        header = ["chosen by", "speed-up blocks", "speed-up model", "predicted KL", "KL assembled", "KL healed equally"]
        header += ["KL healed in full", "top-1", "perplexity", "perplexity out of domain"]
        rows = []
        for row in table[table.target == target].to_dict("records"):
            best = "full" if not math.isnan(row.get("full_in_domain_kl_div", math.nan)) else "equal"
            kl = [pm(row.get(f"{s}_in_domain_kl_div"), row.get(f"{s}_in_domain_kl_div_se")) for s in STATES]
            rows.append(
                (
                    METHOD_NAMES[row["method"]],
                    f"{row['blocks_speedup']:.2f}x",
                    f"{row['model_speedup']:.2f}x",
                    pm(row["predicted_kl"], row["predicted_kl_se"]),
                    *kl,
                    pm(row.get(f"{best}_in_domain_top1"), row.get(f"{best}_in_domain_top1_se")),
                    pm(row.get(f"{best}_in_domain_perplexity"), None, 1),
                    pm(row.get(f"{best}_out_of_domain_perplexity"), None, 1),
                )
            )
        perplexities = (pm(parent[f"parent_{group}_perplexity"], None, 1) for group in GROUPS)
        rows.insert(0, ("parent", "1.00x", "1.00x", "0", "0", "0", "0", "1", *perplexities))
        lines += [*_table(header, rows), ""]
    workload = speed["workload"]
    lines += [
        f"**Served on {speed['hardware']}** ({speed['software']}, {speed['dtype']}, batch {workload['batch']}, "
        f"{workload['prefill']} + {workload['decode']} tokens), {speed['date'][:10]}, parent and children in turn, "
        f"medians of {speed['repeats']} rounds ± half the interquartile range:",
        "",
    ]
    header = ["model", "parameters", "prefill tokens/s", "decode tokens/s", "memory, MiB"]
    header += ["decode speed-up", "predicted decode speed-up", "speed-up of all", "predicted speed-up of all"]
    lines += [*_table(header, [_speed_row(name, speed["models"][name]) for name in found.models]), ""]
    lines += [f"* {sentence}" for sentence in findings(found)]
    return "\n".join(lines) + "\n"


def _speed_row(name: str, one: Json) -> tuple[str, ...]:
    measured, speedup, predicted = one["measured"], one["speedup"], one["predicted_speedup"]
    cells = []
    for phase in ("decode", "runtime"):
        cells += [f"{pm(speedup.get(phase), speedup.get(f'{phase}_spread'), 2)}", f"{predicted[phase]:.2f}"]
    return (
        name if name == "parent" else f"{name} child",
        f"{one['parameters'] / 1e6:.1f} M",
        pm(measured["prefill_tokens_per_s"], None, 0),
        pm(measured.get("decode_tokens_per_s"), None, 1),
        pm(one["memory"]["model_mib"], None, 0),
        *cells,
    )


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    names = list(header)
    lines = ["| " + " | ".join(names) + " |", "|---" + "|---:" * (len(names) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def findings(found: Results) -> list[str]:
    """What the numbers say: whether a baseline is better anywhere and why, and how good the prediction of speed is."""
    said = [*_against_baselines(found), *_sums(found)]
    for name in found.models:
        one = found.speed["models"][name]
        if name != "parent" and "decode" in one["speedup"]:
            error = one["speedup_error"]["decode"]
            verdict = "within" if abs(error) <= SPEED_GOAL else "outside"
            said.append(
                f"The {name} child decodes {one['speedup']['decode']:.2f} times as fast as the parent, measured, "
                f"and {one['predicted_speedup']['decode']:.2f} times by the cost table: an error of "
                f"{100 * error:+.0f} %, {verdict} the {100 * SPEED_GOAL:.0f} % aimed for."
            )
    return said


def _sums(found: Results) -> Iterator[str]:
    """How far the KL of the frontiers' children is from the sum of scores that predicted it."""
    for target, one in found.frontier.items():
        ratios = {p["speedup"]: p["measured"]["kl_div"] / p["value"] for p in one["points"] if "measured" in p}
        if ratios:
            yield (
                f"{target}: along the frontier the KL of a child before healing is {min(ratios.values()):.2f} to "
                f"{max(ratios.values()):.2f} times the sum of its scores, {ratios[max(ratios)]:.2f} times at "
                f"{max(ratios):g}x."
            )


def _against_baselines(found: Results) -> Iterator[str]:
    for target in found.targets:
        others = [method for method in found.methods if method != found.kept]
        worse = [sentence for method in others for sentence in _better(found, target, method)]
        yield from worse
        if others and not worse:
            yield (
                f"{target}: no baseline is below {METHOD_NAMES[found.kept]} in KL, before or after equal healing, "
                f"{' or '.join(GROUP_NAMES[g] for g in GROUPS)}."
            )


def _better(found: Results, target: str, method: str) -> Iterator[str]:
    """Where a baseline's child has the lower KL, and why."""
    kept, children = found.kept, found.children[target]["children"]
    ours, theirs = found.states(target, kept), found.states(target, method)
    mine, its = METHOD_NAMES[kept], METHOD_NAMES[method]
    same = children[kept]["blocks"] == children[method]["blocks"]
    for state in ("assembled", "equal"):
        for group in GROUPS:
            a, b = ours[state][group], theirs[state][group]
            if same or b["kl_div"] >= a["kl_div"]:
                continue
            gap, error = a["kl_div"] - b["kl_div"], math.hypot(known(a["kl_div_se"]), known(b["kl_div_se"]))
            text = (
                f"{target}, {STATE_NAMES[state]}, {GROUP_NAMES[group]}: the child of {its} has a lower KL than that of "
                f"{mine}, {pm(b['kl_div'], known(b['kl_div_se']))} against {pm(a['kl_div'], known(a['kl_div_se']))}. "
            )
            if gap < CERTAIN * error:
                text += f"The difference is less than {CERTAIN:g} standard errors of it."
            elif state == "equal" and theirs["assembled"][group]["kl_div"] >= ours["assembled"][group]["kl_div"]:
                text += (
                    f"Assembled it was the other way round, {theirs['assembled'][group]['kl_div']:.3f} against "
                    f"{ours['assembled'][group]['kl_div']:.3f}: the search minimises KL before healing, and this "
                    f"healing mends more of the damage of {its}."
                )
            else:
                sums = {m: children[m]["value"] for m in (method, kept)}
                ratios = {m: one["assembled"][group]["kl_div"] / sums[m] for m, one in ((method, theirs), (kept, ours))}
                text += (
                    f"The summed scores rank them the other way, {sums[method]:.3f} against {sums[kept]:.3f}: scores "
                    f"of single blocks do not add up to the KL of a child, which is {ratios[method]:.2f} times the sum "
                    f"for {its} and {ratios[kept]:.2f} times for {mine}."
                )
            yield text
