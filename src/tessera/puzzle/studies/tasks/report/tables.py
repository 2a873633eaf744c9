"""Tables and texts of the study of task items."""

from collections.abc import Iterator

import pandas as pd

from tessera.common.files import Json
from tessera.common.markdown import table
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.studies.tasks.report.results import Results, model_name, numbers

GROUP_NAMES = {"in_domain": "in-domain", "out_of_domain": "out-of-domain"}


def tasks(results: Results) -> pd.DataFrame:
    """Accuracy of every model on the reported items of every set, with 95 % intervals over items, chance, how the
    likeliest choice is determined, and whether the set counts (the parent is clearly above chance on the items that
    choose).
    """
    summary = numbers(results)
    group = dict(zip(results.every.sets, results.every.groups, strict=True))
    rows = []
    for name, selection in summary["selection"].items():
        for model in results.models:
            accuracy = summary["models"][model]["sets"][name]
            row = {"group": group[name], "set": name, "model": model, "accuracy": accuracy["value"]}
            row |= {"low": accuracy["low"], "high": accuracy["high"]}
            row |= {"chance": selection["chance"], "items": selection["reported"]}
            rows.append(row | {"metric": selection["metric"], "counts": selection["kept"]})
    return pd.DataFrame(rows)


def _span(interval: Json, scale: float = 100.0) -> str:
    if interval["value"] is None:
        return "-"
    if interval["low"] is None:
        return f"{scale * interval['value']:.0f}"
    return f"{scale * interval['value']:.0f} [{scale * interval['low']:.0f}, {scale * interval['high']:.0f}]"


def markdown(results: Results) -> str:
    """What the children keep of the parent's zero-shot accuracy on items with several choices: retention is accuracy
    above chance over the parent's, pooled over the items of a group, with 95 % paired bootstrap intervals over items.

    How the likeliest choice is determined and which sets count was chosen on other items, by the parent alone. Further
    tables have perplexity by domain, latency of single tokens, and memory.
    """
    summary = numbers(results)
    models, groups, answers = summary["models"], results.groups, results.answers
    chance = [f"{100 * answers.chance[answers.groups == group].mean():.0f}" for group in groups]
    lines = [
        "**Retention**, % of the parent's accuracy above chance, with 95 % intervals over items:",
        "",
        *table(
            ("model", "mean of groups", *groups),
            [
                (
                    model_name(model),
                    _span(models[model]["overall"]),
                    *(_span(models[model]["groups"][group]["retention"]) for group in groups),
                )
                for model in results.children
            ],
        ),
        "**Accuracy**, % of the reported items, pooled over the sets of a group:",
        "",
        *table(
            ("model", *(f"{group} ({(answers.groups == group).sum()} items)" for group in groups)),
            [
                ("chance", *chance),
                *(
                    (model_name(model), *(_span(models[model]["groups"][group]["accuracy"]) for group in groups))
                    for model in results.models
                ),
            ],
        ),
        *(f"* {sentence}" for sentence in _sentences(summary)),
        "",
        *_perplexity(results, summary["perplexity"]),
        *_latency(results),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _perplexity(results: Results, ratios: Json) -> list[str]:
    domains = sorted(ratios[PARENT], key=lambda name: name in GROUP_NAMES)
    rows = [
        (
            model_name(model),
            *(f"{ratios[model][name]:.1f}" if model == PARENT else f"{ratios[model][name]:.2f}x" for name in domains),
        )
        for model in results.models
        if model in ratios
    ]
    return [
        "**Perplexity** by domain, the parent's own, and children's over the parent's:",
        "",
        *table(("model", *(GROUP_NAMES.get(name, name) for name in domains)), rows),
    ]


def _latency(results: Results) -> list[str]:
    latency = results.latency
    memory = results.speed["served"][latency["target"]]["models"]
    work = latency["workload"]
    rows = []
    for name, model in latency["models"].items():
        cells = [f"{name} child" if name != PARENT else PARENT]
        cells += [f"{model['first_token_ms'][p]:.0f}" for p in ("p50", "p90")]
        cells += [f"{model['token_ms'][p]:.1f}" if model["token_ms"] else "-" for p in ("p50", "p90", "p99")]
        cells += [f"{model['weights_mib']:.0f}", f"{model['kv_cache_mib']:.1f}"]
        rows.append([*cells, f"{memory[name]['memory']['model_mib']:.0f}" if name in memory else "-"])
    header = ("model", "first token p50", "p90", "token p50", "p90", "p99", "weights", "KV cache", "peak")
    return [
        f"**Latency** on {latency['hardware']} ({latency['software']}, {latency['dtype']}, batch {work['batch']}, "
        f"{work['prefill']} + {work['decode']} tokens), {latency['date'][:10]}, in milliseconds; memory in MiB: "
        "weights and KV cache by their sizes, and the peak of a fresh process: its resident set above an idle one, "
        "on a GPU what its tensors take:",
        "",
        *table(header, rows),
    ]


def _sentences(summary: Json) -> Iterator[str]:
    selection = summary["selection"]
    dropped = [name for name, chosen in selection.items() if not chosen["kept"]]
    per_byte = [name for name, chosen in selection.items() if chosen["kept"] and chosen["metric"] == "per_byte"]
    if dropped:
        yield f"Not counted, because the parent is near chance on the items that choose: {', '.join(dropped)}."
    if per_byte:
        yield f"Answered by log-probability per byte: {', '.join(per_byte)}; the others by its sum."
    for target, rows in summary["differences"].items():
        for method, difference in rows.items():
            if difference["value"] is None or difference["low"] is None:
                yield (
                    f"{target}: the parent is at chance, so the kept method's child cannot be compared with the "
                    f"{method} one."
                )
                continue
            verdict = "neither clearly more nor less"
            if difference["low"] > 0:
                verdict = "more"
            elif difference["high"] < 0:
                verdict = "less"
            yield (
                f"{target}, after equal healing: the kept method's child retains {verdict} than the {method} one; it "
                f"is {_span(difference)} points ahead in the mean over groups."
            )


def samples(results: Results) -> str:
    """What the parent and the kept children write after the same beginnings of test documents, greedily and drawn."""
    lines = [
        "Each model continues the beginning of a test document: greedily, and drawn with one seed, so that all use the "
        "same random numbers.",
        "",
    ]
    for row in results.samples:
        body = [("the document", _cell(row["document"]), "")]
        body += [
            (name if name == PARENT else f"{name} child", _cell(row["greedy"][name]), _cell(row["drawn"][name]))
            for name in row["greedy"]
        ]
        lines += [f"**{row['source']}**, {_cell(row['title'])}: *{_cell(row['prompt'])}* ...", ""]
        lines += table(("model", "greedy", "drawn"), body, 3)
    return "\n".join(lines).rstrip("\n") + "\n"


def _cell(text: str) -> str:
    """Text within a cell of a Markdown table."""
    for plain, escaped in (("\\", "\\\\"), ("|", "\\|"), ("*", "\\*"), ("_", "\\_"), ("<", "&lt;"), ("`", "\\`")):
        text = text.replace(plain, escaped)
    return " ".join(text.split())
