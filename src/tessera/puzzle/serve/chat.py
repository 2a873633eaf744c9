"""Parent and child side by side: both answer the same message, a token each in turn, with speed and divergence.

An engine reads tokens and says what may come next: torch of every token, llama.cpp of the LIKELIEST. The divergence is
the parent's from the child along the child's own answer, which the parent reads as well. Of distributions that are not
known beyond their likeliest tokens it is that with all others taken as one, which is at most the whole.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tessera.puzzle.models.cache import new_cache
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.serve.llama_cpp import Engine

#: Tokens of whose probabilities llama.cpp speaks.
LIKELIEST = 200


@dataclass(frozen=True)
class Next:
    """What may come next: tokens, in ascending order, and their log-probabilities."""

    tokens: NDArray[np.int64]
    logs: NDArray[np.float64]

    def draw(self, temperature: float, uniform: float) -> int:
        """The likeliest token at temperature 0, else one drawn by inversion of a uniform number in [0, 1)."""
        if not temperature:
            return int(self.tokens[self.logs.argmax()])
        weights = np.exp((self.logs - self.logs.max()) / temperature).cumsum()
        place = np.searchsorted(weights, uniform * weights[-1], side="right")
        return int(self.tokens[min(place, len(weights) - 1)])


def divergence(parent: Next, child: Next) -> float:
    """KL(parent || child) in nats, all tokens that one of them does not name taken as one."""
    _, ours, theirs = np.intersect1d(parent.tokens, child.tokens, assume_unique=True, return_indices=True)
    p, q = parent.logs[ours], child.logs[theirs]
    kl = float((np.exp(p) * (p - q)).sum())
    rest_p, rest_q = (max(0.0, 1 - float(np.exp(logs).sum())) for logs in (p, q))
    if rest_p > 1e-6 and rest_q > 0:  # below is rounding
        kl += rest_p * np.log(rest_p / rest_q)
    return max(0.0, kl)


class ByTorch:
    """A model in torch, with room for so many tokens."""

    def __init__(self, model: LanguageModel, room: int) -> None:
        self.network, self.cache = model.network, new_cache(model.config, room)

    @torch.inference_mode()
    def read(self, tokens: Sequence[int]) -> Next:
        """Read tokens behind those read before; what may come next."""
        given = torch.tensor([list(tokens)])
        step = self.network(input_ids=given, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        logs = step.logits[0, -1].double().log_softmax(-1).numpy()
        return Next(np.arange(len(logs)), logs)


class ByLlamaCpp:
    """A GGUF file in llama.cpp, with room for so many tokens."""

    def __init__(self, path: Path, room: int) -> None:
        self.engine, self.before = Engine(path, room), list[int]()

    def read(self, tokens: Sequence[int]) -> Next:
        """As ByTorch.read, of the LIKELIEST."""
        self.before += tokens
        found = sorted(self.engine.log_probabilities(self.before, LIKELIEST, cache_prompt=True).items())
        return Next(np.array([token for token, _ in found]), np.array([log for _, log in found]))


#: Makes a model that has read nothing.
Reader = ByTorch | ByLlamaCpp
Fresh = Callable[[], Reader]


@dataclass
class Answer:
    """What a model has written, and the seconds that it took after the prompt."""

    reader: Reader
    following: Next
    tokens: list[int] = field(default_factory=list)
    seconds: float = 0.0
    done: bool = False

    @property
    def tokens_per_s(self) -> float:
        """Decoded tokens a second; the first comes with the prompt."""
        return (len(self.tokens) - 1) / self.seconds if self.seconds else 0.0


@dataclass
class Turn:
    """Both answers so far, and the divergence at each token of the child's."""

    parent: Answer
    child: Answer
    kl: list[float] = field(default_factory=list)


def answers(
    parent: Fresh,
    child: Fresh,
    prompt: Sequence[int],
    ends: Sequence[int],
    most: int,
    temperature: float = 0.0,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Turn]:
    """Have parent and child answer a prompt, each until one of the tokens `ends` or `most` tokens; yield as they go.

    Both draw with the same uniform numbers, so that alike models write alike answers. What the parent reads of the
    child's answer is not in its time.
    """
    rng = np.random.default_rng(seed)
    (of_parent, of_child), beside = (parent(), child()), parent()
    turn = Turn(Answer(of_parent, of_parent.read(prompt)), Answer(of_child, of_child.read(prompt)))
    expected = beside.read(prompt)
    while not (turn.parent.done and turn.child.done):
        uniform = float(rng.random())
        for answer in (turn.parent, turn.child):
            if answer.done:
                continue
            if answer is turn.child:
                turn.kl.append(divergence(expected, answer.following))
            token = answer.following.draw(temperature, uniform)
            answer.tokens.append(token)
            answer.done = token in ends or len(answer.tokens) == most
            if answer.done:
                continue
            begun = clock()
            answer.following = answer.reader.read([token])
            answer.seconds += clock() - begun
            if answer is turn.child:
                expected = beside.read([token])
        yield turn
