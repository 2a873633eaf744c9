"""Finding documents that share runs of words with training text."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tessera.data.decontaminate import WORD, contaminated, ngrams

texts = st.lists(st.lists(st.sampled_from("abc"), max_size=12).map(" ".join), max_size=6)


@given(texts, texts, st.integers(2, 5))
def test_against_sets_of_tuples(documents, training, n):
    def runs(text):
        words = WORD.findall(text.lower())
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    seen = set().union(*map(runs, training))
    expected = [bool(runs(document) & seen) for document in documents]
    assert contaminated(documents, training, n).tolist() == expected


def test_case_punctuation_and_line_ends_do_not_hide_a_run():
    training = ["It was the best of times; it was the worst of times."]
    assert contaminated(["IT WAS -- the best\nof times!"], training, 6).all()
    assert not contaminated(["it was the best of days"], training, 6).any()


def test_runs_do_not_cross_documents():
    assert not contaminated(["a b c d"], ["a b", "c d"], 3).any()


def test_hashes_depend_on_order_and_on_nothing_else():
    assert ngrams("a b c", 3) != ngrams("c b a", 3)
    assert np.array_equal(ngrams("x a b c", 3)[1:], ngrams("a b c", 3))
    assert ngrams("the same in every process", 5).tolist() == ngrams("the same in every process", 5).tolist()
    assert len(ngrams("too short", 3)) == 0
