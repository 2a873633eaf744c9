"""Tables and numbers of the study."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from tessera.common.files import Json
from tessera.common.intervals import known, plus_minus
from tessera.common.markdown import table
from tessera.puzzle.studies.healing_curve.report.results import INTERVAL, TEXT_NAMES, Curve, Results


def points(results: Results) -> pd.DataFrame:
    """KL and agreement with the parent on test text after each healing, one per row, with standard errors by document,
    and the KL that the law gives.
    """
    rows = []
    for curve in results.curves:
        for tokens, state, kept in zip(curve.tokens.tolist(), curve.states, curve.kept, strict=True):
            keys = ("kl_div", "kl_div_se", "top1", "top1_se", "perplexity", "parent_perplexity")
            row: Json = {"target": curve.target, "text": curve.text, "tokens": tokens}
            row |= {key: state[key] for key in keys} | {"law": float(curve.law.kl(tokens)), "kept": kept}
            rows.append(row)
    return pd.DataFrame(rows)


def numbers(results: Results) -> Json:
    """target -> text -> KL before and after each healing, the law, its error for the longest healing, and the tokens
    for each share of the parent's probability that is kept.

    Values with low and high have 95 % intervals over documents; what the law does not reach is null.
    """
    found: Json = {}
    for curve in results.curves:
        last, ahead = float(curve.kl[-1]), float(curve.before_last.kl(curve.tokens[-1]))
        found.setdefault(curve.target, {})[curve.text] = {
            "start_kl_div": curve.start["kl_div"],
            "kl_div": {str(tokens): float(kl) for tokens, kl in zip(curve.tokens, curve.kl, strict=True)},
            "law": {name: _value(curve, name) for name in ("floor", "scale", "exponent")},
            "longest": {"predicted": ahead, "measured": last, "error": abs(last / ahead - 1)},
            "tokens": {f"{share:g}": _needed(curve, share) for share in results.params.kept},
        }
    return found


def _value(curve: Curve, name: str) -> Json:
    low, high = np.percentile(getattr(curve.laws, name), INTERVAL)
    return {"value": float(getattr(curve.law, name)), "low": float(low), "high": float(high)}


def _needed(curve: Curve, share: float) -> Json:
    """Tokens to keep a share, with the share of draws in which the law reaches it at all."""
    kl = -math.log(share)
    value, draws = float(curve.law.tokens(kl)), curve.laws.tokens(kl)
    # Not interpolated: between a number and infinity there is nothing.
    low, high = np.percentile(draws, INTERVAL, method="nearest")
    finite = {
        name: number if math.isfinite(number) else None
        for name, number in {"value": value, "low": float(low), "high": float(high)}.items()
    }
    return finite | {"reached": float(np.isfinite(draws).mean())}


def markdown(results: Results) -> str:
    """The kept children after healings of several lengths, the law of their KL, and how many tokens it needs to bring
    them within some share of the parent's probability.
    """
    gpu = results.params.gpu
    lines = [
        *_measured(results),
        "KL to the parent on test text of the training domains, nats per token, ± one standard error by document. *:"
        " the healing did not lower the KL on validation text, and was taken back. Predicted: the longest, by the law"
        " fitted to the others.",
        "",
        *_answers(results),
        "KL = E + A D^-β, with 95 % intervals over test documents. Tokens to keep a share exp(-KL) of the probability"
        f" that the parent gives, by the law; in brackets hours of one {gpu.name} at {100 * gpu.utilisation:.0f} % of"
        f" {gpu.tflops:g} TFLOP/s. Beyond the longest healing they are extrapolated.",
    ]
    return "\n".join(lines) + "\n"


def _measured(results: Results) -> list[str]:
    tokens = results.params.tokens
    header = ["target", "text", "before", *(f"{count:,}" for count in tokens), "predicted"]
    rows = []
    for curve in results.curves:
        cells = [
            plus_minus(state["kl_div"], known(state["kl_div_se"])) + ("" if kept else " *")
            for state, kept in zip(curve.states, curve.kept, strict=True)
        ]
        ahead = f"{float(curve.before_last.kl(curve.tokens[-1])):.3f}"
        rows.append([curve.target, TEXT_NAMES[curve.text], f"{curve.start['kl_div']:.3f}", *cells, ahead])
    return table(header, rows, 2)


def _answers(results: Results) -> list[str]:
    shares = results.params.kept
    header = ["target", "text", "E", "β", *(f"{100 * share:g} % kept" for share in shares)]
    found, rows = numbers(results), []
    for curve in results.curves:
        of_curve = found[curve.target][curve.text]
        law = [_interval(of_curve["law"][name]) for name in ("floor", "exponent")]
        needed = [_tokens(results, of_curve["tokens"][f"{share:g}"]) for share in shares]
        rows.append([curve.target, TEXT_NAMES[curve.text], *law, *needed])
    return table(header, rows, 2)


def _interval(value: Json) -> str:
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def _tokens(results: Results, needed: Json) -> str:
    """`1.2e+05 [8.0e+04, never] (0.001 h)`."""
    value, low, high = ("never" if needed[name] is None else f"{needed[name]:.2g}" for name in ("value", "low", "high"))
    hours = "" if needed["value"] is None else f" ({results.gpu_hours(needed['value']):.2g} h)"
    return f"{value} [{low}, {high}]{hours}"


def labels(results: Results) -> Iterator[tuple[Curve, str]]:
    """The curves with their names."""
    for curve in results.curves:
        yield curve, f"{curve.target}, {TEXT_NAMES[curve.text]}"
