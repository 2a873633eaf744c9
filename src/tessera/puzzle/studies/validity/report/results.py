"""What the validity study found: its files read once, and the numbers that tables, figures and runs show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tessera.common import files, randomness
from tessera.common.association import geometric_mean, interval, of, partial, ranks, spearman
from tessera.common.files import Json
from tessera.common.intervals import known
from tessera.puzzle.models.space import PARENT, decompose
from tessera.puzzle.scores.association import bias, paired

GROUP_NAMES = {
    "mip": "MIP",
    "diverse": "MIP, next best",
    "baselines": "baselines",
    "mild": "random, mild",
    "any": "random, any",
    "corrected": "corrected optimum",
}
#: States of a child: on the scores' own text, on test text as assembled, and there after the short healing.
STATES = ("scored", "assembled", "healed")
STATE_NAMES = {
    "scored": "assembled, the scores' text",
    "assembled": "assembled, test text",
    "healed": "healed, test text",
}
#: Predictions of KL, in the order in which they are shown; fits are judged on groups that they did not see.
PREDICTORS = {
    "sum": "sum of scores",
    "measured": "with measured interactions",
    "neighbourhood_without_group": "with interactions fitted by neighbourhood",
    "subblocks_without_group": "with interactions fitted by subblock",
}
PHASES = ("prefill", "decode", "runtime")


@dataclass(frozen=True)
class Results:
    """Children that were run, with what was predicted of them."""

    children: list[Json]
    corrected: list[Json]
    correction: Json
    composed: dict[int, Json]
    scores: dict[int, Json]
    time: Json
    draws: int
    seed: int

    def generator(self, *names: str) -> np.random.Generator:
        """Random numbers of one interval."""
        return randomness.generator(self.seed, "puzzle_validity", "bootstrap", *names)

    def predicted(self, row: Json) -> float:
        """Sum of the scores of a child's exchanged subblocks."""
        return math.fsum(score["kl_div"] for score in self._exchanged(row["blocks"]))

    def predicted_se(self, row: Json) -> float:
        """Its standard error, the scores' errors taken as independent."""
        return math.sqrt(math.fsum(known(score["kl_div_se"]) ** 2 for score in self._exchanged(row["blocks"])))

    def _exchanged(self, blocks: Sequence[str]) -> list[Json]:
        return [
            self.scores[layer][subblock][variant]
            for layer, block in enumerate(blocks)
            for subblock, variant in zip(("attention", "ffn"), decompose(block), strict=True)
            if variant != PARENT
        ]

    def replaced(self, row: Json) -> int:
        """Subblocks that are exchanged."""
        return len(self._exchanged(row["blocks"]))

    def of(self, groups: Sequence[str] = ()) -> list[Json]:
        """Children of some groups, or all."""
        return [row for row in self.children if not groups or row["group"] in groups]

    def groups(self) -> list[str]:
        """Groups that were run, in the order of their names above, others after."""
        found = list(dict.fromkeys(row["group"] for row in self.children))
        return [g for g in GROUP_NAMES if g in found] + [g for g in found if g not in GROUP_NAMES]


def read(
    groups: Sequence[Path], corrected: Path, correction: Path, composed: Path, scores: Sequence[Path], time: Path,
    draws: int, seed: int,
) -> Results:  # fmt: skip
    """Read the files of the study; draws are those of every interval."""
    return Results(
        [row for path in groups for row in files.read_json(path)],
        files.read_json(corrected),
        files.read_json(correction),
        {int(layer): one for layer, one in files.read_json(composed).items()},
        {int(layer): one for path in scores for layer, one in files.read_json(path).items()},
        files.read_json(time),
        draws,
        seed,
    )


def summary(found: Results) -> Json:
    """All numbers of the study, for the metrics file."""
    return {
        "children": len(found.children),
        "ranks": _ranks(found),
        "bias": _biases(found),
        "composed": _composed(found),
        "correction": _correction(found),
        "optimum": _optimum(found),
        "time": _time(found),
    }


def sets(found: Results) -> dict[str, list[Json]]:
    """Sets of children for which ranks and biases are given: all, the small ones, each kind of choice."""
    most = found.correction["most"]
    chosen = {
        "all": found.of(),
        "fitted": [row for row in found.of() if found.predicted(row) <= most],
        "searched": found.of(("mip", "diverse")),
        "other": [row for row in found.of() if row["group"] not in ("mip", "diverse")],
    }
    return {name: rows for name, rows in chosen.items() if len(rows) >= 3}


def predictions(found: Results, predictor: str) -> dict[str, float | None]:
    """A prediction of every child by name; null where it has none."""
    return {one["name"]: one[predictor] for one in found.correction["children"]}


def _ranks(found: Results) -> Json:
    """By set, prediction and state: rank correlations with KL, and the partial one given how many were replaced.

    The set's `replaced` has the rank correlation of KL with the number of replaced subblocks alone, by state.
    """
    made: Json = {}
    for name, rows in sets(found).items():
        counted = {state: np.array(_counted(found, rows, state)) for state in STATES}
        made[name] = {
            "replaced": {
                state: interval(
                    of(spearman, *values),
                    len(rows),
                    found.draws,
                    found.generator("replaced", name, state),
                )
                for state, values in counted.items()
            }
        }
        for predictor in PREDICTORS:
            values = predictions(found, predictor)
            known = [row for row in rows if values[row["name"]] is not None]
            if len(known) < 3:
                continue
            made[name][predictor] = {}
            for state in STATES:
                predicted = [values[row["name"]] for row in known]
                replaced, true = _counted(found, known, state)
                place = (name, predictor, state)
                one = ranks(predicted, true, found.draws, found.generator("ranks", *place))  # type: ignore[arg-type]
                beyond = partial(predicted, true, replaced, found.draws, found.generator("partial", *place))  # type: ignore[arg-type]
                made[name][predictor][state] = one | {"partial": beyond}
    return made


def _counted(found: Results, rows: list[Json], state: str) -> tuple[list[int], list[float]]:
    """Numbers of replaced subblocks, and KL in a state, of some children."""
    return [found.replaced(row) for row in rows], [row[state]["kl_div"] for row in rows]


def _biases(found: Results) -> Json:
    """By set, prediction and state: `bias`; and error_to_sum, its error over that of the plain sum, same children."""
    made: Json = {}
    sums = predictions(found, "sum")
    for name, rows in sets(found).items():
        made[name] = {}
        for predictor in PREDICTORS:
            values = predictions(found, predictor)
            known = [row for row in rows if (values[row["name"]] or 0) > 0]
            if len(known) < 3:
                continue
            made[name][predictor] = {}
            for state in ("scored", "assembled"):
                predicted = [values[row["name"]] for row in known]
                replaced, true = _counted(found, known, state)
                place = (name, predictor, state)
                made[name][predictor][state] = bias(
                    predicted,  # type: ignore[arg-type]
                    true,
                    replaced,
                    found.draws,
                    found.generator("bias", *place),
                )
                if predictor != "sum":
                    errors = np.log(np.array([predicted, [sums[row["name"]] for row in known]], float) / true) ** 2
                    made[name][predictor][state]["error_to_sum"] = interval(
                        of(_error_to_sum, *errors),
                        len(known),
                        found.draws,
                        found.generator("error_to_sum", *place),
                    )
    return made


def _error_to_sum(squares: np.ndarray, of_sum: np.ndarray) -> float:
    """Root mean square of errors over that of the sum's, both given as squares."""
    return math.sqrt(squares.mean() / of_sum.mean())


def composed_pairs(found: Results) -> list[Json]:
    """Rows of layer, block, the score of the block, and the sum of its two subblocks' scores."""
    rows = []
    for layer in sorted(found.composed):
        for block, metrics in sorted(found.composed[layer].items()):
            attention, ffn = decompose(block)
            parts = found.scores[layer]["attention"][attention], found.scores[layer]["ffn"][ffn]
            rows.append(
                {"layer": layer, "block": block, "sum": sum(one["kl_div"] for one in parts)}
                | {"composed": metrics["kl_div"], "composed_se": metrics["kl_div_se"]}
            )
    return rows


def composed_sum(found: Results, row: Json) -> float | None:
    """Predicted KL of a child from scores of whole blocks; null where one of its pairs was not scored."""
    total = 0.0
    for layer, block in enumerate(row["blocks"]):
        exchanged = [part for part in decompose(block) if part != PARENT]
        if len(exchanged) == 2:
            if block not in found.composed.get(layer, {}):
                return None
            total += found.composed[layer][block]["kl_div"]
        elif exchanged:
            attention, ffn = decompose(block)
            kind, variant = ("attention", attention) if attention != PARENT else ("ffn", ffn)
            total += found.scores[layer][kind][variant]["kl_div"]
    return total


def _composed(found: Results) -> Json:
    rows = composed_pairs(found)
    if len(rows) < 3:
        return {"pairs": len(rows)}
    logs = np.array([math.log(row["composed"] / row["sum"]) for row in rows])
    made: Json = {
        "pairs": len(rows),
        "ratio": interval(
            lambda chosen: math.exp(logs[chosen].mean()), len(logs), found.draws, found.generator("composed")
        ),
    }
    whole = [(composed_sum(found, row), row) for row in found.of()]
    known = [(value, row) for value, row in whole if value]
    if len(known) >= 3:
        for name, values in (
            ("by_composed", [value for value, _ in known]),
            ("by_subblocks", [found.predicted(row) for _, row in known]),
        ):
            true = [row["scored"]["kl_div"] for _, row in known]
            replaced = [found.replaced(row) for _, row in known]
            made[name] = {
                "ranks": ranks(values, true, found.draws, found.generator("composed", name)),
                "bias": bias(values, true, replaced, found.draws, found.generator("composed_bias", name)),
            }
    return made


def _correction(found: Results) -> Json:
    return {key: found.correction[key] for key in ("cosines", "measured_cosines", "most")}


def optima(found: Results) -> list[Json]:
    """Corrected optima beside the sum's optimum of the same target and speed-up, paired by window of test text."""
    rows = []
    by_blocks = {tuple(row["blocks"]): row for row in found.children}
    for row in found.corrected:
        before = by_blocks.get(tuple(row["optimum"]))
        if before is None:
            raise ValueError(f"{row['name']}: the sum's own optimum was not run; add its speed-up to validity.speedups")
        one: Json = {key: row[key] for key in ("target", "speedup", "predicted", "predicted_before")}
        one |= {
            "form": row["method"],
            "changed": sum(a != b for a, b in zip(row["blocks"], row["optimum"], strict=True)),
        }
        for state in STATES:
            new, old = row[state]["by_window"], before[state]["by_window"]
            one[state] = {"corrected": row[state]["kl_div"], "optimum": before[state]["kl_div"]} | paired(
                new["kl_div"], old["kl_div"], new["document"]
            )
        rows.append(one)
    return rows


def _optimum(found: Results) -> Json:
    rows = optima(found)
    made: Json = {}
    for form in dict.fromkeys(row["form"] for row in rows):
        own = [row for row in rows if row["form"] == form]
        logs = {
            state: np.array([math.log(r[state]["corrected"] / r[state]["optimum"]) for r in own]) for state in STATES
        }
        made[form] = {
            state: {
                "ratio": interval(
                    of(geometric_mean, logs[state]),
                    len(own),
                    found.draws,
                    found.generator("optimum", form, state),
                ),
                "better": sum(r[state]["difference"] < 0 for r in own),
                "clearly_better": sum(r[state]["difference"] < -1.96 * known(r[state]["se"]) for r in own),
                "clearly_worse": sum(r[state]["difference"] > 1.96 * known(r[state]["se"]) for r in own),
                "of": len(own),
            }
            for state in STATES
        }
    return made


def _log_parameters(found: Results, names: list[str]) -> np.ndarray:
    """Logarithm of the parent's parameters over a child's: its speed-up, if time went by parameters alone."""
    count = {name: found.time["children"][name]["predicted"]["parameters"] for name in (PARENT, *names)}
    return np.log([count[PARENT] / count[name] for name in names])


def _time(found: Results) -> Json:
    children = {name: one for name, one in found.time["children"].items() if name != PARENT}
    made: Json = {"children": len(children), "target": found.time["target"]}
    for phase in PHASES:
        pairs = [
            (c["predicted_speedup"][phase], c["speedup"][phase]) for c in children.values() if phase in c["speedup"]
        ]
        if len(pairs) < 3:
            continue
        logs = [math.log(p / m) for p, m in pairs]
        measured = np.log([m for _, m in pairs])
        made[phase] = {
            "error": math.sqrt(np.mean(np.square(logs))),
            "ratio": math.exp(np.mean(logs)),
            "largest": math.exp(max(logs, key=abs)),
            "error_by_parameters": math.sqrt(np.mean(np.square(_log_parameters(found, list(children)) - measured))),
            "error_of_constant": float(np.std(measured)),
            "ranks": ranks([p for p, _ in pairs], [m for _, m in pairs], found.draws, found.generator("time", phase)),
        }
    return made
