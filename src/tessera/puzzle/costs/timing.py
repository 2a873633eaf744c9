"""Marginal times of a piece of work, from runs over N and 2N distinct copies of it.

One run over n copies takes a fixed overhead and n times the piece. So the marginal (T_2N - T_N) / N is the piece;
N is chosen so that N copies overflow the cache, and each is read from memory as inside a whole model. The pieces take
turns, so that a drift of the machine meets all alike.

T_N and T_2N are first deciles over the rounds. Other work on the machine only ever adds time, often a factor of two for
seconds at a time; a median is then of one kind of round for T_N and of the other for T_2N, and their difference of
neither. With half of the runs at 1.9 times the time, 15 rounds and 3 % of jitter, the marginal's mean and standard
deviation are 1.01 +- 0.02 of the true one by deciles, 1.5 +- 1.0 by medians, 1.5 +- 0.5 by the median of differences.

On a machine that is busy throughout, the difference may come out negative all the same. What is known then is a bound:
one copy takes at most T_2N / 2N, of which the overhead is a part.
"""

import random
import statistics
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

#: Runs a function n times and returns seconds per run.
Stopwatch = Callable[[Callable[[], object], int], float]
Samples = Sequence[tuple[float, float]]

#: One sample lasts at least this long, seconds; shorter pieces are run several times.
SHORTEST_SAMPLE = 5e-3
MOST_LOOPS = 1000
#: A marginal with a larger spread than this is measured on.
LARGEST_SPREAD = 0.05
#: Times that a set of rounds is added for marginals that are not positive or too uncertain.
MORE = 2
RESAMPLES = 200


@dataclass(frozen=True)
class Piece:
    """What is timed: run(n) runs the first n of 2 N distinct copies once."""

    name: str
    copies: int
    run: Callable[[int], object]


@dataclass(frozen=True)
class Marginal:
    """Seconds of one copy, and their standard error over the rounds (bootstrap) relative to them.

    bound: whether the seconds are an upper bound only, with a spread of 1: the time itself is lost in noise.
    """

    seconds: float
    spread: float
    bound: bool = False

    @property
    def certain(self) -> bool:
        return self.seconds > 0 and self.spread <= LARGEST_SPREAD


def marginals(
    pieces: Sequence[Piece],
    rounds: int,
    stopwatch: Stopwatch,
    progress: Callable[[range], Iterable[int]] = iter,
) -> dict[str, Marginal]:
    """Return the marginal time of every piece, by name.

    What is not positive or has a large spread is measured on, MORE times as many rounds at most. A marginal that is not
    positive even then becomes a bound, with a warning that names the pieces: a busy machine gives a poor table, and not
    the end of a long run. Raises RuntimeError, naming the piece, if the clock shows no time at all.
    """
    loops = {piece.name: _calibrate(piece, stopwatch) for piece in pieces}
    samples: dict[str, list[tuple[float, float]]] = {piece.name: [] for piece in pieces}
    marginal: dict[str, Marginal] = {}
    unsure = list(pieces)
    for _ in range(1 + MORE):
        for index in progress(range(rounds)):
            for piece in unsure:
                samples[piece.name].append(_sample(piece, loops[piece.name], stopwatch, index))
        marginal |= {piece.name: summary(samples[piece.name], piece.copies) for piece in unsure}
        unsure = [piece for piece in unsure if not marginal[piece.name].certain]
        if not unsure:
            break
    lost = [piece for piece in pieces if marginal[piece.name].seconds <= 0]
    marginal |= {piece.name: upper_bound(samples[piece.name], piece) for piece in lost}
    if lost:
        warnings.warn(
            f"{', '.join(piece.name for piece in lost)}: lost in the noise of {(1 + MORE) * rounds} rounds, so the "
            "times are upper bounds, with a spread of 1; to measure them, free the machine or raise repeats",
            stacklevel=2,
        )
    return marginal


def upper_bound(samples: Samples, piece: Piece) -> Marginal:
    """What one copy takes at most. Raises RuntimeError, naming the piece, if the clock shows no time at all."""
    seconds = first_decile([twice for _, twice in samples]) / (2 * piece.copies)
    if not seconds > 0:
        raise RuntimeError(
            f"{piece.name}: {2 * piece.copies} copies take no time on this clock; expected more than 0 s"
        )
    return Marginal(seconds, 1.0, bound=True)


def summary(samples: Samples, copies: int) -> Marginal:
    """The marginal of pairs (T_N, T_2N), N = copies. A spread without meaning, of no time, is infinite."""
    seconds = _difference(samples) / copies
    rng = random.Random(0)
    resampled = [_difference(rng.choices(samples, k=len(samples))) / copies for _ in range(RESAMPLES)]
    return Marginal(seconds, statistics.stdev(resampled) / seconds if seconds > 0 else float("inf"))


def _difference(samples: Samples) -> float:
    once, twice = zip(*samples, strict=True)
    return first_decile(twice) - first_decile(once)


def first_decile(values: Sequence[float]) -> float:
    """What a tenth of the values are below, by linear interpolation."""
    return statistics.quantiles(values, n=10, method="inclusive")[0]


def _calibrate(piece: Piece, stopwatch: Stopwatch) -> int:
    """Runs of one sample; also warms the piece up."""
    stopwatch(lambda: piece.run(2 * piece.copies), 1)
    once = stopwatch(lambda: piece.run(piece.copies), 1)
    return max(1, round(SHORTEST_SAMPLE / max(once, SHORTEST_SAMPLE / MOST_LOOPS)))


def _sample(piece: Piece, loops: int, stopwatch: Stopwatch, index: int) -> tuple[float, float]:
    """T_N and T_2N; their order alternates between rounds, so that a steady drift cancels."""
    n, times = piece.copies, {}
    for copies in (2 * n, n) if index % 2 else (n, 2 * n):
        times[copies] = stopwatch(lambda copies=copies: piece.run(copies), loops)  # type: ignore[misc]
    return times[n], times[2 * n]
