"""What the main chain found, in words: its results table in Markdown, and findings computed from it."""

import math
from collections.abc import Iterator

import pandas as pd

from tessera.common import markdown
from tessera.common.files import Json
from tessera.common.intervals import known, plus_minus
from tessera.puzzle.report import tables
from tessera.puzzle.report.results import (
    GROUP_NAMES,
    GROUPS,
    METHOD_NAMES,
    SPEED_GOAL,
    STATE_NAMES,
    STATES,
    Results,
)

#: Standard errors by which two numbers must differ to count as different.
CERTAIN = 2.0


def pm(value: float | None, error: float | None = None, digits: int = 3) -> str:
    """`0.282 ± 0.012`; `-` if there is no value; whole numbers from a thousand on."""
    if value is None or math.isnan(value):
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return plus_minus(value, error, f".{digits}f") if error else f"{value:.{digits}f}"


def results(results: Results) -> str:
    """Children of every method beside the parent: what the search predicted, what was measured, and on which hardware.

    The README shows this table as well.
    """
    table = tables.children(results)
    lines = [
        f"Children {budget(next(iter(results.children.values())))}, as predicted by the search. KL (nats) and top-1 "
        "agreement are relative to the parent, on test text of the training domains; ± is one standard error by "
        "document. *Equally*: every method's child after distillation on the same few tokens; *in full*: the child "
        "that is kept.",
        "",
    ]
    for target in results.targets:
        lines += [f"**{target}**: {results.hardware(target)}", "", *_quality(table, target)]
    lines += _speeds(results)
    lines += [f"* {sentence}" for sentence in findings(results)]
    return "\n".join(lines) + "\n"


def budget(children: Json) -> str:
    """The limits of the children that a target's search chose: `whose blocks have 1.3 times the throughput ...`."""
    limits, words = children.get("limits") or {}, []
    if children["speedup"] is not None:
        words.append(f"whose blocks have {children['speedup']:g} times the throughput of the parent's")
    if limits.get("speedup"):
        words.append(f"that as whole models have {limits['speedup']:g} times the throughput of the parent")
    if limits.get("throughput"):
        words.append(f"that as whole models take in and write {limits['throughput']:g} tokens per second")
    if limits.get("memory"):
        share = f"{limits['memory']} of the parent's memory"
        words.append(f"that need at most {share if '%' in str(limits['memory']) else str(limits['memory']) + ' MiB'}")
    return " and ".join(words)


def _quality(table: pd.DataFrame, target: str) -> list[str]:
    """The children of one target, below the parent."""
    states = [state for state in STATES if f"{state}_in_domain_kl_div" in table]
    header = ["chosen by", "speed-up blocks", "speed-up model", "predicted KL"]
    header += [*(f"KL {STATE_NAMES[state]}" for state in states), "top-1", "perplexity", "perplexity out of domain"]
    perplexities = (pm(table.iloc[0][f"parent_{group}_perplexity"], None, 1) for group in GROUPS)
    rows = [("parent", "1.00x", "1.00x", "0", *["0"] * len(states), "1", *perplexities)]
    for row in table[table.target == target].to_dict("records"):
        best = "full" if not math.isnan(row.get("full_in_domain_kl_div", math.nan)) else "equal"
        kl = [pm(row.get(f"{s}_in_domain_kl_div"), row.get(f"{s}_in_domain_kl_div_se")) for s in states]
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
    return markdown.table(header, rows)


def _speeds(results: Results) -> Iterator[str]:
    """Parent and children as they were served, one table for each device and workload."""
    header = ["model", "parameters", "prefill tokens/s", "decode tokens/s", "memory, MiB"]
    header += ["decode speed-up", "predicted decode speed-up", "total speed-up", "predicted total speed-up"]
    for name, speed in results.served.items():
        workload = speed["workload"]
        yield (
            f"**Served on {speed['hardware']}** ({speed['software']}, {speed['dtype']}, batch {workload['batch']}, "
            f"{workload['prefill']} + {workload['decode']} tokens), {speed['date'][:10]}, parent and children in turn, "
            f"medians of {speed['repeats']} rounds ± half the interquartile range:"
        )
        yield ""
        yield from markdown.table(
            header, [_speed_row(name, speed["models"][name]) for name in results.models if name in speed["models"]]
        )
        for child, reason in speed.get("left_out", {}).items():
            yield f"The {child} child is not among them: {reason}."
            yield ""
        if name not in results.params.costs.timed:
            yield (
                "No cost target is measured by torch, so there is no prediction for this: the cost tables are those of "
                f"{', '.join(results.targets)}."
            )
            yield ""


def _speed_row(name: str, served: Json) -> tuple[str, ...]:
    measured, speedup, predicted = served["measured"], served["speedup"], served.get("predicted_speedup", {})
    cells = []
    for phase in ("decode", "runtime"):
        cells += [f"{pm(speedup.get(phase), speedup.get(f'{phase}_spread'), 2)}", pm(predicted.get(phase), None, 2)]
    return (
        name if name == "parent" else f"{name} child",
        f"{served['parameters'] / 1e6:.1f} M",
        pm(measured["prefill_tokens_per_s"], None, 0),
        pm(measured.get("decode_tokens_per_s"), None, 1),
        pm(served["memory"]["model_mib"], None, 0),
        *cells,
    )


def findings(results: Results) -> list[str]:
    """Sentences: where a baseline is better and why, how good predictions are, and what did not help a child."""
    sentences = [*_against_baselines(results), *_sums(results), *_taken_back(results)]
    for serving, speed in results.served.items():
        where = f" on {serving}" if len(results.served) > 1 else ""
        sentences += [_decoding(name, served, where) for name, served in speed["models"].items() if name != "parent"]
    return [sentence for sentence in sentences if sentence]


def _decoding(child: str, served: Json, where: str) -> str:
    """How well a child's speed-up of decoding was predicted; empty if there is no decoding or no prediction."""
    if "decode" not in served.get("speedup_error", {}):
        return ""
    error = served["speedup_error"]["decode"]
    verdict = "within" if abs(error) <= SPEED_GOAL else "outside"
    return (
        f"The {child} child decodes {served['speedup']['decode']:.2f} times as fast as the parent{where}, measured, "
        f"and {served['predicted_speedup']['decode']:.2f} times by the cost table: an error of "
        f"{100 * error:+.0f} %, {verdict} the {100 * SPEED_GOAL:.0f} % aimed for."
    )


def _taken_back(results: Results) -> Iterator[str]:
    """Refits and healings that did not lower the KL of the kept child."""
    for target in results.targets:
        for state, record in results.validations(target).items():
            step = "the refit" if state == "refitted" else "healing in full"
            if not record["share"]:
                yield (
                    f"{target}: {step} did not lower the child's KL on validation text, {record['before']:.3f} before "
                    f"and {record['after']:.3f} after, and was taken back."
                )


def _sums(results: Results) -> Iterator[str]:
    """How far the KL of the frontiers' children is from what the search predicted."""
    for target, search in results.frontier.items():
        for method in METHOD_NAMES:
            points = [p for p in search["points"] if "measured" in p and p["method"] == method]
            # Not of the parent, of which nothing is predicted.
            ratios = {p["speedup"]: p["measured"]["kl_div"] / p["value"] for p in points if p["value"]}
            if ratios:
                by = f" by a cosine of {search['cosine']:.3f}" if method == "quadratic" else ""
                yield (
                    f"{target}, {METHOD_NAMES[method]}: along the frontier the KL of a child before healing is "
                    f"{min(ratios.values()):.2f} to {max(ratios.values()):.2f} times what was predicted{by}, "
                    f"{ratios[max(ratios)]:.2f} times at {max(ratios):g}x."
                )


def _against_baselines(results: Results) -> Iterator[str]:
    for target in results.targets:
        others = [method for method in results.methods if method != results.kept]
        worse = [sentence for method in others for sentence in _better(results, target, method)]
        yield from worse
        if others and not worse:
            yield (
                f"{target}: no baseline is below {METHOD_NAMES[results.kept]} in KL, before or after equal healing, "
                f"{' or '.join(GROUP_NAMES[g] for g in GROUPS)}."
            )


def _better(results: Results, target: str, method: str) -> Iterator[str]:
    """Where a baseline's child has the lower KL, and why."""
    kept, children = results.kept, results.children[target]["children"]
    ours, theirs = results.states(target, kept), results.states(target, method)
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
                text += f"The difference is less than {CERTAIN:g} of its standard errors."
            elif state == "equal" and theirs["assembled"][group]["kl_div"] >= ours["assembled"][group]["kl_div"]:
                text += (
                    f"Assembled it was the other way round, {theirs['assembled'][group]['kl_div']:.3f} against "
                    f"{ours['assembled'][group]['kl_div']:.3f}: the search minimises KL before healing, and this "
                    f"healing repairs more of the damage of {its}."
                )
            else:
                sums = {m: children[m]["value"] for m in (method, kept)}
                states = {method: theirs, kept: ours}
                ratios = {m: states[m]["assembled"][group]["kl_div"] / sums[m] for m in sums}
                text += (
                    f"The search predicted the other order, {sums[method]:.3f} against {sums[kept]:.3f}: scores of "
                    f"single blocks do not tell the KL of a child exactly, which is {ratios[method]:.2f} times the "
                    f"prediction for {its} and {ratios[kept]:.2f} times for {mine}."
                )
            yield text
