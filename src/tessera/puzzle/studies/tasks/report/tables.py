"""Tables, texts and runs of the study of task items."""

from collections.abc import Iterator

import pandas as pd

from tessera.common.files import Json
from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.tasks.report.results import PARENT, Results, model_name, split

FIGURE = "reports/figures/puzzle_tasks/retention.svg"
GROUP_NAMES = {"in_domain": "in-domain", "out_of_domain": "out-of-domain"}


def tasks(found: Results, numbers: Json) -> pd.DataFrame:
    """One row a set and model: accuracy with its interval, chance, items, and how the set was chosen."""
    group = dict(zip(found.every.sets, found.every.groups, strict=True))
    rows = []
    for name, chosen in numbers["selection"].items():
        for model in found.models:
            one = numbers["models"][model]["sets"][name]
            row = {"group": group[name], "set": name, "model": model, "accuracy": one["value"]}
            row |= {"low": one["low"], "high": one["high"], "chance": chosen["chance"], "items": chosen["reported"]}
            rows.append(row | {"metric": chosen["metric"], "counts": chosen["kept"]})
    return pd.DataFrame(rows)


def _span(one: Json, scale: float = 100.0) -> str:
    if one["value"] is None:
        return "-"
    if one["low"] is None:
        return f"{scale * one['value']:.0f}"
    return f"{scale * one['value']:.0f} [{scale * one['low']:.0f}, {scale * one['high']:.0f}]"


def _rows(head: list[str], body: list[list[str]]) -> list[str]:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return ["| " + " | ".join(line) + " |" for line in lines]


def markdown(found: Results, numbers: Json) -> str:
    """Retention, accuracy, perplexity by domain, latency and memory."""
    models, groups = numbers["models"], found.groups
    lines = ["**Retention**, % of the parent's accuracy above chance, with 95 % intervals over items:", ""]
    lines += _rows(
        ["model", "mean of groups", *groups],
        [
            [model_name(m), _span(models[m]["overall"]), *(_span(models[m]["groups"][g]["retention"]) for g in groups)]
            for m in found.children
        ],
    )
    lines += ["", "**Accuracy**, % of the reported items, pooled over the sets of a group:", ""]
    chance = {g: 100 * found.answers.chance[found.answers.groups == g].mean() for g in groups}
    lines += _rows(
        ["model", *(f"{g} ({(found.answers.groups == g).sum()} items)" for g in groups)],
        [["chance", *(f"{chance[g]:.0f}" for g in groups)]]
        + [[model_name(m), *(_span(models[m]["groups"][g]["accuracy"]) for g in groups)] for m in found.models],
    )
    lines += [""]
    lines += [f"* {one}" for one in _words(found, numbers)]
    lines += ["", "**Perplexity** by domain, the parent's own, and children's over the parent's:", ""]
    ratios = numbers["perplexity"]
    domains = sorted(ratios[PARENT], key=lambda name: name in GROUP_NAMES)
    lines += _rows(
        ["model", *(GROUP_NAMES.get(name, name) for name in domains)],
        [
            [
                model_name(m),
                *(f"{ratios[m][name]:.1f}" if m == PARENT else f"{ratios[m][name]:.2f}x" for name in domains),
            ]
            for m in found.models
            if m in ratios
        ],
    )
    return "\n".join([*lines, "", *_latency(found)]) + "\n"


def _latency(found: Results) -> list[str]:
    about, memory = found.latency, found.speed["models"]
    work = about["workload"]
    lines = [
        f"**Latency** on {about['hardware']} ({about['software']}, {about['dtype']}, batch {work['batch']}, "
        f"{work['prefill']} + {work['decode']} tokens), {about['date'][:10]}, milliseconds; memory in MiB, weights and "
        "KV cache by their sizes, and the peak resident set of a fresh process above an idle one:",
        "",
    ]
    body = []
    for name, one in about["models"].items():
        cells = [f"{name} child" if name != PARENT else PARENT]
        cells += [f"{one['first_token_ms'][p]:.0f}" for p in ("p50", "p90")]
        cells += [f"{one['token_ms'][p]:.1f}" if one["token_ms"] else "-" for p in ("p50", "p90", "p99")]
        cells += [f"{one['weights_mib']:.0f}", f"{one['kv_cache_mib']:.1f}"]
        body.append([*cells, f"{memory[name]['memory']['model_mib']:.0f}" if name in memory else "-"])
    head = ["model", "first token p50", "p90", "token p50", "p90", "p99", "weights", "KV cache", "peak resident"]
    return lines + _rows(head, body)


def _words(found: Results, numbers: Json) -> Iterator[str]:
    dropped = [name for name, one in numbers["selection"].items() if not one["kept"]]
    per_byte = [name for name, one in numbers["selection"].items() if one["kept"] and one["metric"] == "per_byte"]
    if dropped:
        yield f"Not counted, the parent being near chance on the items that choose: {', '.join(dropped)}."
    if per_byte:
        yield f"Told by log-probability per byte: {', '.join(per_byte)}; the others by its sum."
    for target, rows in numbers["differences"].items():
        for method, one in rows.items():
            if one["value"] is None or one["low"] is None:
                yield f"{target}: the parent is at chance, so the MIP's child cannot be set beside the {method} one."
                continue
            verdict = "more" if one["low"] > 0 else "less" if one["high"] < 0 else "neither clearly more nor less"
            yield (
                f"{target}, after equal healing: the MIP's child retains {verdict} than the {method} one; it is "
                f"{_span(one)} points ahead in the mean over groups."
            )


def samples(found: Results) -> str:
    """The texts side by side, in Markdown."""
    lines = [
        "The beginning of a test document is given, and each model goes on: greedily, and drawn with one seed, the "
        "same random numbers for all.",
    ]
    for row in found.samples:
        body = [["the document", _cell(row["document"]), ""]]
        body += [
            [name if name == PARENT else f"{name} child", _cell(row["greedy"][name]), _cell(row["drawn"][name])]
            for name in row["greedy"]
        ]
        lines += ["", f"**{row['source']}**, {_cell(row['title'])}: *{_cell(row['prompt'])}* ...", ""]
        lines += ["| model | greedy | drawn |", "|---|---|---|"]
        lines += ["| " + " | ".join(cells) + " |" for cells in body]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text within a cell of a Markdown table."""
    for plain, escaped in (("\\", "\\\\"), ("|", "\\|"), ("*", "\\*"), ("_", "\\_"), ("<", "&lt;"), ("`", "\\`")):
        text = text.replace(plain, escaped)
    return " ".join(text.split())


def runs(found: Results, numbers: Json, params: Json, seed: int) -> Iterator[tuple[str, RunRecord]]:
    """Yield RULE/NAME, where the run's file belongs, and the run of each model."""
    for model in found.models:
        one = numbers["models"][model]
        values = {"accuracy": one["accuracy"]["value"]}
        values |= {f"set/{name}": row["value"] for name, row in one["sets"].items()}
        for group, row in one["groups"].items():
            values |= {f"{group}/{name}": number["value"] for name, number in row.items()}
        if model != PARENT:
            values |= {
                f"retention{end}": one["overall"][key]
                for end, key in (("", "value"), ("_low", "low"), ("_high", "high"))
            }
        target, method = split(model) if model != PARENT else ("", PARENT)
        tags = {"snakemake.rule": "puzzle_tasks_answers", "device": "cpu", "seed": str(seed)}
        record = RunRecord(
            experiment="puzzle/tasks",
            name=f"puzzle_tasks_answers/model={model}",
            params={"target": target, "method": method, **params, "seed": seed},
            tags=tags | {"target": target, "method": method},
            metrics={name: float(value) for name, value in values.items() if value is not None},
            figures=[FIGURE],
        )
        yield f"puzzle_tasks_answers/model={model}", record
