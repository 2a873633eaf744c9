"""Tables of the cost model's validation."""

import pandas as pd

from tessera.common.files import Json
from tessera.common.markdown import table
from tessera.puzzle.studies.cost_validation import published
from tessera.puzzle.studies.cost_validation.report.results import NAMES, Results, short


def throughput(results: Results) -> pd.DataFrame:
    """Throughputs of child and parent by workload, summed from kernels and as NVIDIA states them."""
    return results.throughput


def interpolation(results: Results) -> pd.DataFrame:
    """Errors of interpolating head layouts that were timed, one row per layout and pass."""
    return results.interpolation


def gpus(results: Results) -> pd.DataFrame:
    """Errors of interpolating head layouts on other GPUs: median and largest, by GPU, type and phase."""
    return results.gpus


def roofline(results: Results) -> pd.DataFrame:
    """Times of every variant by the kernel database, and in multiples of the datasheet's bound."""
    return results.roofline


def metrics(results: Results) -> Json:
    """The numbers of the claims, by software."""
    numbers: Json = {"throughput": {}, "interpolation": {}, "gpus": {}, "roofline": {}}
    for row in results.throughput.to_dict("records"):
        model = {"ratio": row["ratio"], "best_ratio": row["best_ratio"], "paper_ratio": row["paper_ratio"]}
        model |= {"ratio_error": row["ratio"] / row["paper_ratio"] - 1}
        model |= {"best_ratio_error": row["best_ratio"] / row["paper_ratio"] - 1}
        for name in ("child", "parent"):
            model |= {name: row[name], f"{name}_gib": row[f"{name}_gib"], f"{name}_fits": int(row[f"{name}_fits"])}
            if row[f"paper_{name}"] > 0:
                model[f"{name}_error"] = row[name] / row[f"paper_{name}"] - 1
        numbers["throughput"].setdefault(short(row["software"]), {})[f"{row['prefill']}/{row['decode']}"] = model
    for row in results.summary.to_dict("records"):
        at = numbers["interpolation"].setdefault(short(row["software"]), {}).setdefault(row["dtype"], {})
        at.setdefault(row["phase"], {})[str(row["head_dim"])] = {k: row[k] for k in ("points", "median", "largest")}
    for row in results.gpus.to_dict("records"):
        errors = numbers["gpus"].setdefault(row["hardware"], {}).setdefault(row["dtype"], {})
        errors[row["phase"]] = {k: row[k] for k in ("points", "median", "largest")}
    for phase, rows in results.gpus.groupby("phase"):
        numbers["gpus"][f"largest_{phase}_median"] = rows["median"].max()
    for (software, dtype), rows in results.roofline.groupby(["software", "dtype"]):
        spread = {
            f"{p}_{k}": getattr(rows[f"{p}_ratio"], k)()
            for p in ("prefill", "decode")
            for k in ("min", "median", "max")
        }
        numbers["roofline"].setdefault(short(str(software)), {})[dtype] = spread
    return numbers


def markdown(results: Results) -> str:
    """The cost model compared with published throughputs, timed layouts and the datasheet."""
    (child_batch, child_gpus), (batch, gpus) = published.ASSUMED["child"], published.ASSUMED["parent"]
    lines = [
        "# The cost model compared with others' measurements",
        "",
        "Output tokens per second and GPU of Nemotron Super 49B over those of Llama-3.1-70B, H100 SXM, fp8, summed",
        f"from kernels; child at batch {child_batch} on {child_gpus} GPU, parent at batch {batch} on {gpus}, which is",
        "assumed, because NVIDIA states none. NVIDIA's ratio is of Nemotron 51B, another child of its family, under",
        "TensorRT-LLM. In brackets: the ratio's error. GiB are of weights and the batch's KV cache on one GPU;",
        f"* more than {published.usable_memory() / 2**30:.1f}, so the whole batch does not fit at full length.",
        "",
        *table(
            ("software", "read/written", "NVIDIA", "summed", "best that fits", "child, 1/s", "parent, 1/s",
             "GiB of each"),
            map(_throughput, results.throughput.to_dict("records")),
            2,
        ),
        "Attention layouts that were timed, as they would be interpolated from others:",
        "",
        *table(
            ("software", "type", "phase", "head size", "points", "median error, %", "largest, %"),
            map(_interpolation, results.summary.to_dict("records")),
            3,
        ),
        "The same on other GPUs, of both head sizes:",
        "",
        *table(
            ("GPU", "software", "type", "phase", "points", "median error, %", "largest, %"),
            map(_gpu, results.gpus.to_dict("records")),
            4,
        ),
        "Time of Llama-3.1-70B's variants by the database in multiples of the datasheet's bound:",
        "",
        *table(
            ("software", "type", "decode: least, median, most", "prefill: least, median, most"),
            [
                (str(software), str(dtype), *(_spread(rows[f"{phase}_ratio"]) for phase in ("decode", "prefill")))
                for (software, dtype), rows in results.roofline.groupby(["software", "dtype"], sort=False)
            ],
            2,
        ),
    ]  # fmt: skip
    return "\n".join(lines).rstrip("\n") + "\n"


def _interpolation(row: Json) -> list[str]:
    cells = [str(row[key]) for key in ("software", "dtype", "phase", "head_dim", "points")]
    return cells + [f"{100 * row[key]:.1f}" for key in ("median", "largest")]


def _gpu(row: Json) -> list[str]:
    cells = [str(row[key]) for key in ("hardware", "software", "dtype", "phase", "points")]
    return cells + [f"{100 * row[key]:.1f}" for key in ("median", "largest")]


def _spread(ratios: pd.Series) -> str:
    return f"{ratios.min():.2f}, {ratios.median():.2f}, {ratios.max():.2f}"


def _throughput(row: Json) -> list[str]:
    cells = [NAMES[short(row["software"])], f"{row['prefill']}/{row['decode']}", f"{row['paper_ratio']:.2f}"]
    cells.append(f"{row['ratio']:.2f} ({100 * (row['ratio'] / row['paper_ratio'] - 1):+.0f} %)")
    best = [f"{name} {row[f'best_{name}_batch']:.0f} on {row[f'best_{name}_gpus']:.0f}" for name in ("child", "parent")]
    cells.append(f"{row['best_ratio']:.2f} ({', '.join(best)})")
    for name in ("child", "parent"):
        stated = row[f"paper_{name}"]
        cells.append(f"{row[name]:.0f}" + (f" (stated {stated:.0f})" if stated > 0 else ""))
    gib = [f"{row[f'{name}_gib']:.1f}{'' if row[f'{name}_fits'] else ' *'}" for name in ("child", "parent")]
    return [*cells, ", ".join(gib)]
