"""Documents that share long runs of words with training text: what they test may have been learnt by heart."""

import re
from collections.abc import Iterable
from functools import cache
from hashlib import blake2b

import numpy as np

WORD = re.compile(r"\w+")
#: Odd, so that multiplying by it loses nothing modulo 2^64 (the golden ratio's bits).
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def ngrams(text: str, n: int) -> np.ndarray:
    """Return the 64-bit hashes of the runs of n words of a text, case and punctuation aside: (words - n + 1,) uint64.

    A polynomial in the words' hashes: two runs collide by chance once in 10^19.
    """
    words = WORD.findall(text.lower())
    if len(words) < n:
        return np.empty(0, np.uint64)
    hashes = np.array([_word(word) for word in words], np.uint64)
    total = np.zeros(len(words) - n + 1, np.uint64)
    for i in range(n):
        total = total * MULTIPLIER + hashes[i : len(words) - n + 1 + i]
    return total


@cache
def _word(word: str) -> int:
    """64-bit hash of a word, the same in every process."""
    return int.from_bytes(blake2b(word.encode(), digest_size=8).digest())


def contaminated(documents: Iterable[str], training: Iterable[str], n: int) -> np.ndarray:
    """Return for each document whether it shares a run of n words with a training text: bool, (documents,)."""
    runs = [ngrams(document, n) for document in documents]
    wanted = np.unique(np.concatenate([np.empty(0, np.uint64), *runs]))
    seen = np.zeros(len(wanted), bool)
    for text in training:
        if len(wanted):
            found = ngrams(text, n)
            place = np.searchsorted(wanted, found).clip(max=len(wanted) - 1)
            seen[place[wanted[place] == found]] = True
    return np.array([bool(seen[np.searchsorted(wanted, run)].any()) for run in runs], bool)
