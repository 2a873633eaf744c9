"""Tables, figure and runs of scores by task accuracy."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tessera.common import files, plots, randomness
from tessera.common.association import clustered, partial_spearman, ranks, spearman
from tessera.common.files import Json
from tessera.common.intervals import known, plus_minus
from tessera.common.run_files import RunRecord
from tessera.data.params import TaskSet
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.scores.retention import Answers, Bootstrap
from tessera.puzzle.studies.task_scores.score import OBJECTIVES, chosen
from tessera.puzzle.studies.tasks.report.results import answered

KL = "kl_div"
SCORES = (KL, *OBJECTIVES)
NAMES = {PARENT: "parent", KL: "KL", "error": "error on items", "choice_nll": "likelihood of the right choice"}
COLOURS = {KL: plots.BLUE, "error": plots.ORANGE, "choice_nll": plots.GREEN}
STATES = {"assembled": "before healing", "equal": "healed"}
PLACES = {"in_domain": "in-domain", "out_of_domain": "out-of-domain"}
FIGURE = "reports/figures/puzzle_task_scores/scores.svg"


@dataclass(frozen=True)
class Results:
    """Scores of all variants, the children that they lead to, and what these answer."""

    variants: pd.DataFrame
    """One row a layer, subblock and variant: all scores with their standard errors."""
    asked: pd.DataFrame
    """The items that score."""
    children: Json
    """By score, as the search chose them."""
    evaluation: Json
    """By score: state -> domain -> metrics."""
    answers: Answers
    """Of the reported half, of the sets that count."""

    @property
    def scored(self) -> np.ndarray:
        """(n,) whether a reported item is of a set that scores."""
        return np.isin(self.answers.sets, list(self.asked.index.get_level_values("set")))


def read(
    scores: Sequence[Path],
    task_scores: Sequence[Path],
    items: Path,
    answers: Sequence[Path],
    children: Path,
    evaluation: Sequence[Path],
    counts: Mapping[TaskSet, int],
    margin: float,
) -> Results:
    """Read all files; answers and evaluation are one a score, named by it, the parent's answers first."""
    by_text, by_items = (
        {int(layer): parts for path in paths for layer, parts in files.read_json(path).items()}
        for paths in (scores, task_scores)
    )
    rows = [
        {"layer": layer, "subblock": part, "variant": name} | by_text[layer][part][name] | one
        for layer, parts in sorted(by_items.items())
        for part, named in parts.items()
        for name, one in named.items()
        if name != PARENT
    ]
    table, selection, kept, _ = answered(items, answers, margin)
    evaluated = {path.stem: files.read_json(path)["states"] for path in evaluation}
    asked = chosen(table, selection, counts)
    return Results(pd.DataFrame(rows), asked, files.read_json(children)["children"], evaluated, kept)


def metrics(found: Results, draws: int, seed: int) -> Json:
    """Agreement of the scores over variants, their noise, and the children with intervals over reported items."""

    def generator(name: str) -> np.random.Generator:
        return randomness.generator(seed, "puzzle_task_scores", name)

    table, noise, agreement = found.variants, {}, {}
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
    boot = Bootstrap(found.answers, draws, generator("items"))
    places = {"all": np.ones(len(found.answers.sets), bool), "scored": found.scored}
    models: Json = {}
    for model in (PARENT, *SCORES):
        models[model] = {place: {"accuracy": boot.accuracy(model, where)} for place, where in places.items()}
        if model == PARENT:
            continue
        for place, where in places.items():
            own, other = (boot.mean(found.answers.right[one], where) for one in (model, KL))
            models[model][place]["difference"] = boot.interval(own - other)
            models[model][place]["retention"] = boot.interval(boot.retention(model, PARENT, where))
    return {
        "items": len(found.asked),
        "accuracy_step": 1 / len(found.asked),
        "reported": {place: int(where.sum()) for place, where in places.items()},
        "variants": len(table),
        "noise": noise,
        "agreement": agreement,
        "models": models,
        "children": children(found).set_index("score").to_dict("index"),
    }


def _beyond_variant(
    table: pd.DataFrame, score: str, draws: int, generator: Callable[[str], np.random.Generator]
) -> Json:
    """How a score ranks variants by what they are, and with KL given that; intervals over layers.

    variant: rank correlation of the score with the mean KL of the same variant in other layers, which knows what was
    put in place of a subblock but not where; partial: that of score and KL given it.
    """
    kl = table.groupby(["subblock", "variant"])[KL]
    others = (kl.transform("sum") - table[KL]) / (kl.transform("size") - 1).clip(lower=1)
    rows = np.stack([table[KL], table[score], others], axis=1)
    return {
        "variant": clustered(lambda r: spearman(r[:, 2], r[:, 1]), rows, table["layer"], draws, generator("variant")),
        "partial": clustered(lambda r: partial_spearman(*r.T), rows, table["layer"], draws, generator("partial")),
    }


def children(found: Results) -> pd.DataFrame:
    """One row a score: the child's sums of all scores, and its KL and next-token loss by state and group of domains."""
    rows = []
    for score in SCORES:
        one: Json = {"score": score, **{f"sum_{name}": value for name, value in found.children[score]["sums"].items()}}
        blocks = (found.children[name]["blocks"] for name in (score, KL))
        one["unlike"] = sum(a != b for a, b in zip(*blocks, strict=True))
        for state in STATES:
            for place in PLACES:
                for metric, value in found.evaluation[score][state].get(place, {}).items():
                    if metric.removesuffix("_se") in (KL, "lm_loss", "top1"):
                        one[f"{state}_{place}_{metric}"] = value
        rows.append(one)
    return pd.DataFrame(rows)


def _percent(one: Json, signed: bool = False) -> str:
    if one["value"] is None or one["low"] is None:
        return "-"
    value, low, high = (f"{100 * one[key]:{'+' if signed else ''}.0f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def markdown(found: Results, numbers: Json) -> str:
    """The children in one table, then how the scores agree and how noisy they are."""
    places = [place for place in PLACES if f"equal_{place}_{KL}" in children(found)]
    lines = [
        "| score | its sum | layers unlike the KL's | "
        + " | ".join(f"KL {PLACES[place]}, {when}" for when in STATES.values() for place in places)
        + " | accuracy, all sets | less the KL's | accuracy, sets that score | less the KL's |",
        "|---|---:|---:|" + "---:|" * (2 * len(places) + 4),
    ]
    for row in children(found).to_dict("records"):
        score = row["score"]
        cells = [NAMES[score], f"{row[f'sum_{score}']:.3f}", "" if score == KL else str(row["unlike"])]
        for state in STATES:
            cells += [plus_minus(row[f"{state}_{p}_{KL}"], row[f"{state}_{p}_{KL}_se"]) for p in places]
        for one in numbers["models"][score].values():
            cells += [_percent(one["accuracy"]), "" if score == KL else _percent(one["difference"], signed=True)]
        lines.append("| " + " | ".join(cells) + " |")
    parent, reported = numbers["models"][PARENT], numbers["reported"]
    lines += [
        "",
        f"Accuracy in % of the reported half's items, after equal healing: {reported['all']} of all sets that count "
        f"(the parent: {_percent(parent['all']['accuracy'])}), {reported['scored']} of the sets that score "
        f"({_percent(parent['scored']['accuracy'])}); 95 % paired bootstrap intervals over items. KL in nats a token, "
        "± standard errors by document. Sums are of the scores before healing.",
        "",
        *(f"* {one}" for one in _words(numbers)),
    ]
    return "\n".join(lines) + "\n"


def _words(numbers: Json) -> Iterator[str]:
    yield (
        f"Scores are of {numbers['items']} items, so accuracy moves in steps of {100 * numbers['accuracy_step']:.1f} "
        f"points; the {numbers['variants']} variants take {numbers['noise']['error']['values']} different values of it."
    )
    for score, one in numbers["noise"].items():
        yield (
            f"{NAMES[score]}: {100 * one['clear']:.0f} % of the variants are told from the parent (1.96 standard "
            f"errors); {100 * one['below_parent']:.0f} % score better than it."
        )
    for score, one in numbers["agreement"].items():
        rho, alone, beyond = (one[name] for name in ("spearman", "variant", "partial"))
        if all(number is not None for interval in (rho, alone, beyond) for number in interval.values()):
            yield (
                f"Ranks of the variants by {NAMES[score]} and by KL: Spearman {rho['value']:.2f} "
                f"[{rho['low']:.2f}, {rho['high']:.2f}]; by what the variant is, its mean KL in other layers, "
                f"{alone['value']:.2f}; by KL given that, {beyond['value']:.2f} [{beyond['low']:.2f}, "
                f"{beyond['high']:.2f}], over layers."
            )
    promised, lost = (numbers["children"][score]["sum_error"] for score in ("error", KL))
    yield (
        f"By the sum of errors on items, the child of its own loses {100 * promised:.1f} points of accuracy before "
        f"healing, the one by KL {100 * lost:.1f}. A sum below 0 promises a gain that other items need not show."
    )
    for score in OBJECTIVES:
        one = numbers["models"][score]["all"]["difference"]
        if one["value"] is None or one["low"] is None:
            continue
        verdict = "better" if one["low"] > 0 else "worse" if one["high"] < 0 else "neither clearly better nor worse"
        yield f"The child by {NAMES[score]} answers {verdict} than the one by KL."


def figure(found: Results, numbers: Json) -> Figure:
    """Scores of items against KL, variant by variant; and the children's accuracy against their KL."""
    made, axes = plots.grid(1, 3, 3.2, width_ratios=(1, 1, 0.9))
    for axis, score in zip(axes[0], OBJECTIVES, strict=False):
        for part, colour in (("attention", plots.PURPLE), ("ffn", plots.SKY)):
            own = found.variants[found.variants["subblock"] == part]
            axis.errorbar(
                own[KL].clip(lower=1e-6), own[score], own[f"{score}_se"], ls="none", marker="o", ms=2.5, lw=0.5,
                capsize=0, color=colour, label={"attention": "attention", "ffn": "FFN"}[part],
            )  # fmt: skip
        axis.axhline(0, color=plots.BLACK, lw=0.8)
        plots.log_scale(axis.xaxis)
        axis.set_xlabel("KL score, nats a token")
        rho = numbers["agreement"][score]["spearman"]
        words = "" if rho["low"] is None else f"\nSpearman {rho['value']:.2f} [{rho['low']:.2f}, {rho['high']:.2f}]"
        axis.set_title(f"by {NAMES[score]}{words}", fontsize=8)
    axes[0, 0].set_ylabel("error less the parent's, ± SE")
    axes[0, 1].set_ylabel("nats an item less the parent's, ± SE")
    axes[0, 0].legend(loc="upper left", fontsize=7)
    _outcome(axes[0, 2], found, numbers)
    made.legend(*axes[0, 2].get_legend_handles_labels(), loc="outside lower right", ncols=4)
    return made


def _outcome(axis: Axes, found: Results, numbers: Json) -> None:
    own = numbers["models"][PARENT]["all"]["accuracy"]["value"]
    axis.axhline(own, color=plots.BLACK, lw=0.8, ls="--", label="parent")
    for score in SCORES:
        kl, accuracy = found.evaluation[score]["equal"]["in_domain"], numbers["models"][score]["all"]["accuracy"]
        ends = [[accuracy["value"] - accuracy["low"]], [accuracy["high"] - accuracy["value"]]]
        axis.errorbar(
            kl[KL], accuracy["value"], ends, 1.96 * known(kl[f"{KL}_se"]), fmt="o", lw=1.2, color=COLOURS[score],
            label=f"by {NAMES[score]}",
        )  # fmt: skip
    axis.set(xlabel="KL in-domain, healed", ylabel="accuracy, reported half, ± 95 %")
    axis.set_title("children by each score", fontsize=8)


def runs(found: Results, numbers: Json, params: Json, seed: int) -> Iterator[tuple[str, RunRecord]]:
    """Yield RULE/NAME, where the run's file belongs, and the run of each score's child."""
    for score in SCORES:
        values = {key: float(value) for key, value in numbers["children"][score].items()}
        for place, one in numbers["models"][score].items():
            values |= {f"{place}/{k}": one[k]["value"] for k in one if one[k]["value"] is not None}
        record = RunRecord(
            experiment="puzzle/task_scores",
            name=f"puzzle_task_scores_heal/score={score}",
            params={"score": score, **params, "seed": seed},
            tags={"snakemake.rule": "puzzle_task_scores_heal", "device": "cpu", "seed": str(seed), "score": score},
            metrics=values,
            figures=[FIGURE],
            note=f"`{' '.join(found.children[score]['blocks'])}`",
        )
        yield f"puzzle_task_scores_heal/score={score}", record
