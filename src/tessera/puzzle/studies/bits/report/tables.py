"""Table of the children in types."""

from collections import Counter

import pandas as pd

from tessera.common.files import Json
from tessera.common.intervals import known, plus_minus
from tessera.common.markdown import table
from tessera.puzzle.models.space import decompose
from tessera.puzzle.scores.association import paired
from tessera.puzzle.studies.bits import typed
from tessera.puzzle.studies.bits.report.results import NAMES, Results


def children(results: Results) -> pd.DataFrame:
    """Every child, one per row: predicted and measured KL, predicted speed and size relative to the parent's in the
    first type, those measured in llama.cpp if it was served, and its subblocks by type.
    """
    rows = []
    for point in results.points:
        row = {key: point.get(key) for key in ("method", "types", "budget", "at", "status", "speed", "size", "value")}
        row |= {key: point["measured"][key] for key in ("kl_div", "kl_div_se", "top1")}
        served = results.served(point)
        row |= {f"served_{key}": served and served[key] for key in ("speed", "low", "high", "size")}
        kinds = Counter(str(typed.split(part)[1] or "none") for block in point["blocks"] for part in decompose(block))
        row |= {f"subblocks_{dtype}": kinds.get(dtype, 0) for dtype in (*results.params.types, "none")}
        rows.append(row | {"outside": point["outside"], "blocks": " ".join(point["blocks"])})
    return pd.DataFrame(rows)


def metrics(results: Results) -> Json:
    """Numbers by budget, method and limit; and `ratio`, the KL of the child of both at once over the best other's.

    Under each limit the others are structure in one type, bits alone, and the parent in a type that keeps the limit.
    The 95 % interval is that of the difference of the two KLs, paired by document, over the other's KL. largest and
    least are those of all limits of a budget.
    """
    numbers: Json = {"types": {}}
    for point in results.of("types", "speed"):
        numbers["types"][point["types"]] = _numbers(results, point)
    for budget, limits in (("speed", results.params.speeds), ("size", results.params.sizes)):
        at: Json = {}
        for limit in limits:
            found = {p["method"]: p for method in NAMES for p in results.of(method, budget) if p["at"] == limit}
            row = {method: _numbers(results, point) for method, point in found.items()}
            kept = [
                p
                for p in results.of("types", budget)
                if (p["speed"] >= limit if budget == "speed" else p["size"] <= limit)
            ]
            others = [*(point for method, point in found.items() if method != "joint"), *kept]
            if "joint" in found and others:
                row |= _against(found["joint"], min(others, key=lambda p: p["measured"]["kl_div"]))
            at[f"{limit:g}"] = row
        ratios = sorted((row["ratio"] for row in at.values() if "ratio" in row), key=lambda ratio: ratio["value"])
        numbers[budget] = at | ({"largest": ratios[-1], "least": ratios[0]} if ratios else {})
    return numbers


def _against(joint: Json, other: Json) -> Json:
    ours, theirs = joint["measured"], other["measured"]
    difference = paired(ours["by_window"], theirs["by_window"])
    middle, error = 1 + known(difference["difference"]) / theirs["kl_div"], known(difference["se"]) / theirs["kl_div"]
    ratio = {"value": middle, "low": middle - 1.96 * error, "high": middle + 1.96 * error}
    return {"ratio": ratio, "other": other["method"]}


def _numbers(results: Results, point: Json) -> Json:
    numbers = {"value": point["value"], "kl_div": point["measured"]["kl_div"]}
    numbers |= {key: point[key] for key in ("speed", "size")}
    served = results.served(point)
    return numbers | ({f"served_{key}": value for key, value in served.items()} if served else {})


def markdown(results: Results) -> str:
    """Structure and bits chosen at once, compared with each of them alone, under limits of time and of size.

    Speeds and sizes are those of whole models and files, relative to the parent in the first type.
    """
    first = results.params.types[0]
    header = ("limit", "method", "KL on test text", "predicted", "speed", "in llama.cpp", "size", "file",
              "subblocks by type")  # fmt: skip
    rows = []
    for row in children(results).astype(object).to_dict("records"):
        limit = "" if pd.isna(row["at"]) else f"{row['budget']} {row['at']:g}"
        name = NAMES[row["method"]] if row["method"] != "types" else f"parent in {row['types']}"
        kinds = [
            f"{row[key]} {key.removeprefix('subblocks_')}" for key in row if key.startswith("subblocks_") and row[key]
        ]
        served = not pd.isna(row["served_speed"])
        rows.append(
            (
                limit,
                name,
                plus_minus(row["kl_div"], row["kl_div_se"]),
                f"{row['value']:.3f}",
                f"{row['speed']:.2f}",
                f"{row['served_speed']:.2f} [{row['served_low']:.2f}, {row['served_high']:.2f}]" if served else "",
                f"{row['size']:.2f}",
                f"{row['served_size']:.2f}" if served else "",
                f"{', '.join(kinds)}; outside {row['outside']}",
            )
        )
    lines = [
        *table(header, rows, 2),
        f"KL in nats per token, ± standard errors by document. Speed and size are multiples of those of the parent in "
        f"{first}: predicted by {results.software} on {results.hardware}, and measured there in turn, median and "
        f"quartiles of {results.params.rounds} requests.",
    ]
    return "\n".join(lines) + "\n"
