"""Tables of scores by task accuracy."""

from collections.abc import Iterator

import pandas as pd

from tessera.common.files import Json
from tessera.common.intervals import plus_minus
from tessera.common.markdown import table
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.studies.task_scores.report.results import KL, NAMES, PLACES, STATES, Results, children, numbers
from tessera.puzzle.studies.task_scores.score import OBJECTIVES

__all__ = ["children", "markdown", "variants"]


def variants(results: Results) -> pd.DataFrame:
    """KL and the scores of task items of every variant of every subblock, less the parent's, with standard errors by
    document and by item.
    """
    return results.variants


def _percent(interval: Json, signed: bool = False) -> str:
    if interval["value"] is None or interval["low"] is None:
        return "-"
    value, low, high = (f"{100 * interval[key]:{'+' if signed else ''}.0f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def markdown(results: Results) -> str:
    """Children that the program chooses by task accuracy, or by the likelihood of the right choice, instead of KL, with
    the same space, target, speed-up and healing.

    Scores are of items of the half that chooses, accuracy of the other half, with 95 % paired bootstrap intervals over
    items. The text also says how the scores rank the variants, and how many variants each distinguishes from the
    parent.
    """
    summary, rows = numbers(results), children(results)
    places = [place for place in PLACES if f"equal_{place}_{KL}" in rows]
    header = ("score", "its sum", "layers unlike the KL's",
              *(f"KL {PLACES[place]}, {when}" for when in STATES.values() for place in places),
              "accuracy, all sets", "less the KL's", "accuracy, sets that score", "less the KL's")  # fmt: skip
    body = []
    for row in rows.to_dict("records"):
        score = row["score"]
        cells = [NAMES[score], f"{row[f'sum_{score}']:.3f}", "" if score == KL else str(row["unlike"])]
        for state in STATES:
            cells += [plus_minus(row[f"{state}_{p}_{KL}"], row[f"{state}_{p}_{KL}_se"]) for p in places]
        for model in summary["models"][score].values():
            cells += [_percent(model["accuracy"]), "" if score == KL else _percent(model["difference"], signed=True)]
        body.append(cells)
    parent, reported = summary["models"][PARENT], summary["reported"]
    lines = [
        *table(header, body),
        f"Accuracy in % of the reported half's items, after equal healing: {reported['all']} of all sets that count "
        f"(the parent: {_percent(parent['all']['accuracy'])}), {reported['scored']} of the sets that score "
        f"({_percent(parent['scored']['accuracy'])}); 95 % paired bootstrap intervals over items. KL in nats per "
        "token, ± standard errors by document. Sums are of the scores before healing.",
        "",
        *(f"* {sentence}" for sentence in _sentences(summary)),
    ]
    return "\n".join(lines) + "\n"


def _sentences(summary: Json) -> Iterator[str]:
    yield (
        f"Scores are of {summary['items']} items, so accuracy moves in steps of {100 * summary['accuracy_step']:.1f} "
        f"points; the {summary['variants']} variants take {summary['noise']['error']['values']} different values of it."
    )
    for score, noise in summary["noise"].items():
        yield (
            f"{NAMES[score]}: {100 * noise['clear']:.0f} % of the variants differ clearly from the parent (1.96 "
            f"standard errors); {100 * noise['below_parent']:.0f} % score better than it."
        )
    for score, agreement in summary["agreement"].items():
        rho, alone, beyond = (agreement[name] for name in ("spearman", "variant", "partial"))
        if all(number is not None for interval in (rho, alone, beyond) for number in interval.values()):
            yield (
                f"Ranks of the variants by {NAMES[score]} and by KL: Spearman {rho['value']:.2f} "
                f"[{rho['low']:.2f}, {rho['high']:.2f}]; by the kind of variant alone, its mean KL in other layers, "
                f"{alone['value']:.2f}; by KL given that, {beyond['value']:.2f} [{beyond['low']:.2f}, "
                f"{beyond['high']:.2f}], over layers."
            )
    promised, lost = (summary["children"][score]["sum_error"] for score in ("error", KL))
    yield (
        f"By the sum of errors on items, the child chosen by that sum loses {100 * promised:.1f} points of accuracy "
        f"before healing, the one by KL {100 * lost:.1f}. A sum below 0 promises a gain that other items need not show."
    )
    for score in OBJECTIVES:
        difference = summary["models"][score]["all"]["difference"]
        if difference["value"] is None or difference["low"] is None:
            continue
        verdict = "neither clearly better nor worse"
        if difference["low"] > 0:
            verdict = "better"
        elif difference["high"] < 0:
            verdict = "worse"
        yield f"The child by {NAMES[score]} answers {verdict} than the one by KL."
