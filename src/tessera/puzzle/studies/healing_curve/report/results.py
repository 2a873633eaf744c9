"""The files of the study, read once, and the laws fitted to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera.common import files, randomness
from tessera.common.files import Json
from tessera.puzzle.models import memory
from tessera.puzzle.models.architecture import from_config
from tessera.puzzle.studies.healing_curve.law import Law, fit
from tessera.puzzle.studies.healing_curve.params import HealingCurveParams

#: What the child is before any healing, among the states of an evaluation: refitted, or else as assembled.
STARTS = ("start", "assembled")
TEXT_NAMES = {"own": "people's text", "written": "the parent's text"}
#: Ends of the intervals.
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Curve:
    """One child healed on one kind of text: KL by tokens, and the law of it."""

    target: str
    text: str
    tokens: NDArray
    """(D,), of each healing."""
    states: list[Json]
    """Metrics on test text after each healing."""
    start: Json
    """Metrics on test text before."""
    kept: list[bool]
    """Whether each healing lowered the KL on validation text, or was taken back."""
    draws: NDArray
    """(draws, D) KL after each healing, on documents drawn with replacement."""

    @property
    def kl(self) -> NDArray:
        """(D,) KL after each healing, nats per token."""
        return np.array([state["kl_div"] for state in self.states])

    @cached_property
    def law(self) -> Law:
        """The law of the KL."""
        return fit(self.tokens, self.kl)

    @cached_property
    def laws(self) -> Law:
        """Those of the draws."""
        return fit(self.tokens, self.draws)

    @cached_property
    def before_last(self) -> Law:
        """The law of all healings but the longest."""
        return fit(self.tokens[:-1], self.kl[:-1])


@dataclass(frozen=True)
class Results:
    """The curves, in the order of targets and texts."""

    params: HealingCurveParams
    seed: int
    curves: list[Curve]
    training: dict[tuple[str, str, int], Json]
    """Losses of each healing, by target, text and tokens."""
    flops_per_token: float

    def gpu_hours(self, tokens: float) -> float:
        """Hours of the GPU of params for a number of tokens."""
        gpu = self.params.gpu
        return tokens * self.flops_per_token / (gpu.tflops * 1e12 * gpu.utilisation) / 3600


def state(tokens: int) -> str:
    """Name of the state of a child that was healed with some tokens."""
    return f"healed-{tokens}"


def read(
    params: HealingCurveParams, seed: int, config: Path, evaluation: Sequence[Path], curves: Sequence[Path]
) -> Results:
    """Read an evaluation for each target and text, TARGET/TEXT.json, and the losses, TARGET/TEXT/TOKENS.json.

    config is the parent's config.json.
    """
    training = {(path.parts[-3], path.parts[-2], int(path.stem)): files.read_json(path) for path in curves}
    made = []
    for path in evaluation:
        target, text = path.parent.name, path.stem
        states = {name: domains["in_domain"] for name, domains in files.read_json(path)["states"].items()}
        after = [states[state(tokens)] for tokens in params.tokens]
        kept = [training[target, text, tokens]["validation"]["share"] > 0 for tokens in params.tokens]
        draws = _drawn(after, params.draws, randomness.generator(seed, "puzzle", "healing_curve", "draws"))
        made.append(
            Curve(
                target,
                text,
                np.array(params.tokens),
                after,
                next(states[name] for name in STARTS if name in states),
                kept,
                draws,
            )
        )
    architecture = from_config(files.read_json(config))
    # Forward through the parent, forward and back through a child that is as large.
    weights = memory.whole(architecture) - memory.non_block_parameters(architecture).count
    weights += architecture.vocab_size * architecture.hidden_size
    return Results(params, seed, made, training, (2 + 6) * weights)


def _drawn(states: Sequence[Json], draws: int, generator: np.random.Generator) -> NDArray:
    """KL (draws, D) on test documents drawn with replacement, the same ones for all healings."""
    series = [state["by_window"] for state in states]
    names, numbers = np.unique(series[0]["document"], return_inverse=True)
    # Windows differ in tokens where not all positions count.
    weights = np.array(series[0].get("tokens", np.ones(len(numbers))), float)
    sums = np.stack([np.bincount(numbers, weights * np.array(one["kl_div"]), len(names)) for one in series])
    counts = np.bincount(numbers, weights, len(names))
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), draws)
    return (drawn @ sums.T) / (drawn @ counts)[:, None]
