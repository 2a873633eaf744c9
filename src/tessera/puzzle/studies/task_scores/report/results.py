"""The files of the study of scores by task accuracy, read once, and the numbers that its items show."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, randomness
from tessera.common.association import clustered, partial_spearman, ranks, spearman
from tessera.common.files import Json
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.scores import task_items
from tessera.puzzle.scores.retention import Answers, Bootstrap
from tessera.puzzle.studies.task_scores.params import TaskScoresParams
from tessera.puzzle.studies.task_scores.score import OBJECTIVES, chosen
from tessera.puzzle.studies.task_scores.search import SCORES

KL = "kl_div"
NAMES = {PARENT: "parent", KL: "KL", "error": "error on items", "choice_nll": "likelihood of the right choice"}
STATES = {"assembled": "before healing", "equal": "healed"}
PLACES = {"in_domain": "in-domain", "out_of_domain": "out-of-domain"}


@dataclass(frozen=True, eq=False)
class Results:
    """Scores of all variants, the children that they lead to, and these children's answers."""

    params: TaskScoresParams
    draws: int
    """Of each bootstrap interval."""
    seed: int
    variants: pd.DataFrame
    """One row per layer, subblock and variant: all scores with their standard errors."""
    asked: pd.DataFrame
    """The items that score."""
    children: Json
    """By score, as the search chose them."""
    evaluation: Json
    """By score: state -> domain -> metrics."""
    answers: Answers
    """To the reported half, of the sets that count."""

    @property
    def scored(self) -> np.ndarray:
        """(n,) whether a reported item is of a set that scores."""
        return np.isin(self.answers.sets, list(self.asked.index.get_level_values("set")))


def read(
    params: TaskScoresParams,
    margin: float,
    draws: int,
    seed: int,
    scores: Sequence[Path],
    task_scores: Sequence[Path],
    table: Path,
    answers: Sequence[Path],
    children: Path,
    evaluation: Sequence[Path],
) -> Results:
    """Read all files; answers and evaluation are one file per score, named after it, the parent's answers first.

    A set counts if the parent is `margin` standard errors above chance.
    """
    by_text, by_items = (
        {int(layer): parts for path in paths for layer, parts in files.read_json(path).items()}
        for paths in (scores, task_scores)
    )
    rows = [
        {"layer": layer, "subblock": part, "variant": name} | by_text[layer][part][name] | metrics
        for layer, parts in sorted(by_items.items())
        for part, named in parts.items()
        for name, metrics in named.items()
        if name != PARENT
    ]
    answered = task_items.read(table, answers, margin)
    return Results(
        params,
        draws,
        seed,
        pd.DataFrame(rows),
        chosen(answered.items, answered.selection, params.items),
        files.read_json(children)["children"],
        {path.stem: files.read_json(path)["states"] for path in evaluation},
        answered.counted,
    )


@cache
def numbers(results: Results) -> Json:
    """Return the scores' noise and agreement over variants, and the children with intervals over reported items."""

    def generator(name: str) -> np.random.Generator:
        return randomness.generator(results.seed, "puzzle_task_scores", name)

    table, draws, noise, agreement = results.variants, results.draws, {}, {}
    for score in SCORES:
        noise[score] = {
            "clear": float((table[score].abs() > 1.96 * table[f"{score}_se"]).mean()),
            "below_parent": float((table[score] < 0).mean()),
            "values": int(table[score].nunique()),
            "se": None if pd.isna(error := table[f"{score}_se"].mean()) else float(error),
        }
    for score in OBJECTIVES:
        agreement[score] = ranks(list(table[KL]), list(table[score]), draws, generator("ranks")) | _beyond_variant(
            table, score, draws, generator
        )
    places = {"all": np.ones(len(results.answers.sets), bool), "scored": results.scored}
    return {
        "items": len(results.asked),
        "accuracy_step": 1 / len(results.asked),
        "reported": {place: int(where.sum()) for place, where in places.items()},
        "variants": len(table),
        "noise": noise,
        "agreement": agreement,
        "models": _models(Bootstrap(results.answers, draws, generator("items")), places),
        "children": children(results).set_index("score").to_dict("index"),
    }


def _models(boot: Bootstrap, places: dict[str, np.ndarray]) -> Json:
    """By model and place: accuracy; of children, also its difference to the child by KL, and retention."""
    models: Json = {}
    for model in (PARENT, *SCORES):
        models[model] = {place: {"accuracy": boot.accuracy(model, where)} for place, where in places.items()}
        if model == PARENT:
            continue
        for place, where in places.items():
            child, by_kl = (boot.mean(boot.answers.right[name], where) for name in (model, KL))
            models[model][place]["difference"] = boot.interval(child - by_kl)
            models[model][place]["retention"] = boot.interval(boot.retention(model, PARENT, where))
    return models


def _beyond_variant(
    table: pd.DataFrame, score: str, draws: int, generator: Callable[[str], np.random.Generator]
) -> Json:
    """How well the variant alone ranks a score, and KL given the variant; intervals over layers.

    variant: rank correlation of the score with the mean KL of the same variant in other layers, a predictor that knows
    what replaces a subblock but not where; partial: that of score and KL given this predictor.
    """
    kl = table.groupby(["subblock", "variant"])[KL]
    others = (kl.transform("sum") - table[KL]) / (kl.transform("size") - 1).clip(lower=1)
    rows = np.stack([table[KL], table[score], others], axis=1)
    return {
        "variant": clustered(lambda r: spearman(r[:, 2], r[:, 1]), rows, table["layer"], draws, generator("variant")),
        "partial": clustered(lambda r: partial_spearman(*r.T), rows, table["layer"], draws, generator("partial")),
    }


def children(results: Results) -> pd.DataFrame:
    """The child of each score, one per row: its sums of all scores, the number of layers in which it differs from the
    child by KL, and its KL, next-token loss and agreement before and after equal healing.
    """
    rows = []
    for score in SCORES:
        row: Json = {"score": score}
        row |= {f"sum_{name}": value for name, value in results.children[score]["sums"].items()}
        blocks = (results.children[name]["blocks"] for name in (score, KL))
        row["unlike"] = sum(a != b for a, b in zip(*blocks, strict=True))
        for state in STATES:
            for place in PLACES:
                for metric, value in results.evaluation[score][state].get(place, {}).items():
                    if metric.removesuffix("_se") in (KL, "lm_loss", "top1"):
                        row[f"{state}_{place}_{metric}"] = value
        rows.append(row)
    return pd.DataFrame(rows)
