"""How much of everything a run does, and how long each of its steps takes by the rates of this machine."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tessera.puzzle.compress.facts import Facts
from tessera.puzzle.compress.text import Text
from tessera.puzzle.costs.params import TIMED

#: Tokens at scale 1, those of params.yaml, and the least with which a run makes sense.
CALIBRATION, DISTILLATION, SCORES, REFIT, HEALING = (
    (40960, 2048),
    (6144, 256),
    (1024, 320),
    (40960, 2048),
    (20480, 1024),
)
#: Ridges that are tried for each map, around two weights in the block library, and variants that distillation trains.
RIDGES, DISTILLED = 5, "attention"
#: Windows that score variants, at least.
LEAST_SCORED = 2
#: Test windows in all sources.
TEST = (24, 4)
#: The space is the small one below this scale.
SMALL_BELOW = 0.25
#: Largest scale, and times that healing sees the training text at most.
MOST, EPOCHS = 16.0, 4
#: Tokens of a task item with its choices, and tokens that are written as a sample.
ITEM_TOKENS, SAMPLE_TOKENS = 60, 48
#: Seconds of Snakemake by itself, at a run's start and for each job.
SNAKEMAKE, PER_JOB = 15.0, 1.0
#: Seconds that a job without torch takes to start, and tokens that are read or tokenised in one.
LIGHT, READING = 3.0, 50_000
#: Rules whose jobs have the machine to themselves, and a thread on every core.
ALONE = ("puzzle_refit", "puzzle_heal", "puzzle_heal_full", "puzzle_evaluate_child")
#: Seconds between checkpoints of healing.
CHECKPOINT = 120.0


@dataclass(frozen=True)
class Sizes:
    """What is drawn from the text, in tokens and windows."""

    space: str
    """full or small."""
    window: int
    calibration: int
    distillation: int
    score_windows: int
    score_window: int
    refit: int
    healing: int
    checkpoint_steps: int
    test_windows: int
    """Of each source."""
    test_window: int
    valid_windows: int
    """On which the block library's losses are measured, and by which refit and healing are kept."""
    jobs: int
    repeats: int
    """Rounds of the cost table."""
    rounds: int
    """Rounds in which parent and child serve."""
    items: int
    """Task items of each set; 0 for none."""


@dataclass(frozen=True)
class Step:
    """A step of the workflow: its rules, seconds of a job of each, how many jobs, and how many of them run at once."""

    name: str
    rules: dict[str, float]
    jobs: dict[str, int]
    at_once: int

    @property
    def seconds(self) -> float:
        """From its begin to its end."""
        return sum(math.ceil(self.jobs[rule] / self.at_once) * one for rule, one in self.rules.items())


def sizes(text: Text, facts: Facts, scale: float, tasks: bool) -> Sizes:
    """Sizes at a scale, 1 being that of params.yaml, as far as the text allows."""
    T, sources = text.window, len(text.sources)

    def tokens(bounds: tuple[int, int], most: int, unit: int) -> int:
        wanted = max(bounds[1], min(bounds[0] * scale, most))
        return max(1, round(wanted / unit)) * unit

    train = text.count("train") * T
    healing = tokens(HEALING, EPOCHS * train, T)
    scores = max(LEAST_SCORED, tokens(SCORES, 10**9, text.scored) // text.scored)
    layers = facts.layers
    step = (facts.rates["layer_back"] * T * layers + facts.rates["update"] * layers) / facts.rates["threads"]
    tests = min(text.windows["test"].values())
    return Sizes(
        space="small" if scale < SMALL_BELOW else "full",
        window=T,
        calibration=min(tokens(CALIBRATION, train, T), train),
        distillation=tokens(DISTILLATION, EPOCHS * train, T),
        score_windows=min(scores, text.count("valid")),
        score_window=text.scored,
        refit=min(tokens(REFIT, train, T), train),
        healing=healing,
        checkpoint_steps=max(5, round(CHECKPOINT / max(step, 1e-3))),
        test_windows=max(1, min(tests, round(max(TEST[1], min(TEST[0] * scale, 4 * TEST[0])) / sources))),
        test_window=text.tested,
        valid_windows=min(4 if scale < SMALL_BELOW else 8, text.count("valid")),
        jobs=min(layers, 2 * facts.cores),
        repeats=5 if scale < 1 else 15,
        rounds=2 if scale < SMALL_BELOW else 3,
        items=(20 if scale < 1 else 60) if tasks else 0,
    )


def steps(facts: Facts, sizes: Sizes, text: Text, target: Mapping[str, Any], models: int = 2) -> list[Step]:
    """The steps of a run, in their order, with their times. models are those that are served to be timed."""
    r, L, cores = facts.rates, facts.layers, facts.cores
    start = r["start"] + PER_JOB
    read = start + r["load"]
    space = facts.spaces[sizes.space]
    variants = sum(len(named) for named in space.values())
    trained = {place: sum(v["kind"] != "no_op" for v in named.values()) for place, named in space.items()}
    forward = L * r["layer"]
    measured, workload = target["source"] in TIMED, target["workload"]
    per_layer = _library(facts, sizes, trained)
    scored = sizes.score_windows * sizes.score_window
    score = scored * variants * (L * L / 2 * r["layer"] + L * r["head"]) + scored * forward
    heal = sizes.healing * (forward + r["head"] + L * r["layer_back"] + r["head_back"])
    heal += sizes.healing / sizes.window * L * r["update"]
    tested = sizes.test_windows * sizes.test_window * len(text.sources)
    # The parent's layers and the child's, and one map of each subblock.
    refit = (sizes.refit + sizes.valid_windows * sizes.window) * 2.5 * forward + L * _solving(facts, RIDGES, 1)
    # Refit and healing are kept by the KL of the child before and after.
    kept = 3 * sizes.valid_windows * sizes.window * (forward + r["head"])
    refit, heal, test = (
        work / r["threads"] for work in (refit + kept, heal + kept, 4 * tested * (forward + r["head"]))
    )
    once = (1 + workload["decode"]) * r["token"] + workload["prefill"] * workload["batch"] * forward
    served = models * sizes.rounds * once
    seen = sizes.calibration + sizes.valid_windows * sizes.window
    # Of the text and of a job's start, without torch.
    reading = LIGHT + PER_JOB + sum(text.tokens.values()) / READING
    costs = 10.0
    if measured:
        costs = (_costs_in_llama_cpp if target["source"] == "llama.cpp" else _costs)(facts, variants, sizes, workload)
    made = [
        _step("parent", cores, puzzle_parent=(1, read + 2 * r["load"] + 2 * r["examine"])),
        _step("text", 1, data_text=(len(text.sources), reading), data_tokens=(1, reading)),
        _step("activations", cores, puzzle_activations=(cores, read + seen / cores * forward)),
        _step("block library", cores, puzzle_library_part=(sizes.jobs, start + L / sizes.jobs * per_layer)),
        _step("scores", cores, puzzle_scores_part=(sizes.jobs, read + score / sizes.jobs)),
        _step("costs", 1, puzzle_costs_target=(1, start + costs)),
        _step("search", 1, puzzle_search_target=(1, LIGHT + PER_JOB)),
        _step("refit", 1, puzzle_refit=(1, read + 2 * r["load"] + refit)),
        _step("healing", 1, puzzle_heal_full=(1, read + r["load"] + heal), puzzle_heal=(1, read + r["load"])),
        _step("evaluation", 1, puzzle_evaluate_child=(1, read + 3 * r["load"] + test)),
    ]
    if measured:
        made.append(_step("measured speed", 1, puzzle_speed=(1, read + models * (read + r["load"]) + served)))
    made.append(_step("samples", 1, puzzle_tasks_samples=(1, read + r["load"] + 4 * SAMPLE_TOKENS * r["token"])))
    if sizes.items:
        asked = 0.75 * sizes.items * len(TASKS) * ITEM_TOKENS * (forward + r["head"])
        made.append(_step("tasks", cores, puzzle_tasks_items=(1, LIGHT), puzzle_tasks_answers=(2, read + asked)))
    return [*made, _step("export", 1, puzzle_export_child=(1, read + 3 * r["load"]))]


#: Weights that are quantised and written in a second.
WRITING = 3e7

#: Sets of task items in the card, by group: those that need no further package.
TASKS = {"agreement_simple": "syntax", "goal_inference": "common sense", "phrase_relatedness": "relations"}


def _step(name: str, at_once: int, **rules: tuple[int, float]) -> Step:
    return Step(
        name, {rule: seconds for rule, (_, seconds) in rules.items()}, {r: n for r, (n, _) in rules.items()}, at_once
    )


def _library(facts: Facts, sizes: Sizes, trained: Mapping[str, int]) -> float:
    """Seconds of the variants of one layer; trained are those of each subblock that have weights."""
    r, D, F = facts.rates, facts.hidden_size, facts.channels
    seen = sizes.calibration + sizes.valid_windows * sizes.window
    passes = 2 * r["layer"] * seen
    gram = r["gigaflop"] / 1e9 * (2 * sizes.calibration * (F * (F + D) + 3 * D * 2 * D) / 2 + 4 * F**3 + 3 * D**3)
    # The variants are smaller than the layer, of which each replaces about a half.
    step = sizes.distillation * r["layer_back"] + sizes.distillation / sizes.window * r["update"]
    checks = 2 * sum(trained.values()) * sizes.valid_windows * sizes.window * r["layer"]
    return passes + gram + _solving(facts, RIDGES, 2) + trained[DISTILLED] * step / 2 + checks


def _solving(facts: Facts, ridges: int, around: int) -> float:
    """Seconds to try ridges, around some weights each, for the last maps of the variants of one layer."""
    D, F = facts.hidden_size, facts.channels
    return facts.rates["gigaflop"] / 1e9 * ridges * sum(n**3 / 3 + around * 4 * n**2 * D for n in (F, D))


def _costs(facts: Facts, variants: int, sizes: Sizes, workload: Mapping[str, int]) -> float:
    """Seconds of timing every variant in copies that overflow the cache."""
    layer_bytes = 4 * max(1, facts.parameters - facts.outside) / facts.layers
    copies = max(1, math.ceil(1.5 * 32 * 2**20 / layer_bytes))
    rows = variants + 3
    once = workload["batch"] * workload["prefill"] * facts.rates["layer"] / 2 + facts.rates["token"] / facts.layers
    return rows * 3 * copies * sizes.repeats * once * 2


def _costs_in_llama_cpp(facts: Facts, variants: int, sizes: Sizes, workload: Mapping[str, int]) -> float:
    """Seconds of timing every variant in stacks that overflow the cache, which are written as files first."""
    layer = max(1, facts.parameters - facts.outside) / facts.layers
    copies = max(1, math.ceil(1.5 * 32 * 2**20 / layer))
    r, P = facts.rates, workload["prefill"]
    # A prompt is read as fast as by torch; a decode step takes a fifth. Its samples read half of the answer as well.
    sample = (2 * P + workload["decode"] / 2) * r["layer"] + 16 * r["token"] / facts.layers / 5
    return (variants + 2) * 3 * copies * (sizes.repeats * sample + layer / WRITING)


def total(made: list[Step]) -> float:
    """Seconds of a whole run."""
    return SNAKEMAKE + sum(step.seconds for step in made)


def fitting(text: Text, facts: Facts, target: Mapping[str, Any], minutes: float | None, tasks: bool) -> Sizes:
    """The largest sizes whose run takes at most so many minutes, the smallest if all take longer.

    Without a limit they are those of params.yaml, as far as the text allows.
    """

    def at(scale: float) -> tuple[Sizes, float]:
        chosen = sizes(text, facts, scale, tasks)
        return chosen, total(steps(facts, chosen, text, target))

    if minutes is None:
        return at(1.0)[0]
    low, high = 0.0, MOST
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle)[1] <= 60 * minutes else (low, middle)
    return at(low)[0]


def plain(made: list[Step]) -> list[dict[str, Any]]:
    """Steps for JSON."""
    return [asdict(step) | {"minutes": round(step.seconds / 60, 2)} for step in made]
