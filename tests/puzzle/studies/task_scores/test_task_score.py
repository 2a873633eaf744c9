"""Scores by task accuracy against full forward passes of assembled models, and against the items' own module."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from tessera.puzzle import child
from tessera.puzzle.models import loading
from tessera.puzzle.scores.choices import Tokens, log_probabilities
from tessera.puzzle.scores.retention import Selection, correct
from tessera.puzzle.studies.task_scores import score
from tessera.puzzle.studies.task_scores.score import Question


def questions(count=45, seed=0):
    """Items of several sizes, in two batches; their answers are drawn."""
    random = np.random.default_rng(seed)

    def tokens(low, high):
        return random.integers(2, 64, random.integers(low, high)).tolist()

    made = []
    for i in range(count):
        item = Tokens([1, *tokens(1, 20)], [tokens(1, 9) for _ in range(random.integers(2, 5))])
        sizes = tuple(3 * len(choice) + 1 for choice in item.choices)
        made.append(Question(item, sizes, int(random.integers(len(item.choices))), ("sum", "per_byte")[i % 2]))
    return made


QUESTIONS = questions()


def plain(model):
    """Whether each item is answered right, and its choice_nll, by the definition, (items, 2)."""
    rows = []
    for one, values in zip(QUESTIONS, log_probabilities(model, [one.tokens for one in QUESTIONS]), strict=True):
        share = math.exp(values[one.answer]) / sum(map(math.exp, values))
        rows.append((correct(values, one.sizes, one.answer, one.metric), -math.log(share)))
    return np.array(rows)


def own(model, layer):
    """A layer's own subblocks, as if they were variants."""
    return {place: {"own": model.layer(layer).subblock(place)} for place in ("attention", "ffn")}


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3"])
def test_the_parents_own_subblocks_change_nothing(parent, name):
    model = loading.load(parent(name)).requires_grad_(False)
    found = score.score(model, {layer: own(model, layer) for layer in range(3)}, QUESTIONS)
    accuracy = plain(model)[:, 0].mean()
    for parts in found.values():
        for named in parts.values():
            for metrics in named.values():
                assert metrics["accuracy"] == accuracy
                assert metrics["error"] == metrics["choice_nll"] == metrics["error_se"] == 0.0


def test_suffix_scores_are_full_forward_passes(parent, library, variants):
    place = parent()
    model = loading.load(place).requires_grad_(False)
    exchanged, seen = child.variants_of(model, variants, library(), (0, 2)), []
    found = score.score(model, exchanged, QUESTIONS, lambda work: seen.append(len(work)) or work)
    assert seen == [2 * 2]
    reference = plain(model)
    assert sorted(found) == [0, 2]
    for layer, parts in found.items():
        assert list(parts["attention"]) == ["parent", *variants.attention] and list(parts["ffn"]) == list(variants.ffn)
        for part, named in parts.items():
            for variant, metrics in named.items():
                choice = ["parent+parent"] * 3
                choice[layer] = f"{variant}+parent" if part == "attention" else f"parent+{variant}"
                rows = plain(child.assemble(model, variants, library(), choice))
                expected = score.summary(rows, reference)
                assert metrics == pytest.approx(expected, abs=1e-4), (layer, part, variant)
    errors = {metrics["error"] for parts in found.values() for named in parts.values() for metrics in named.values()}
    assert len(errors) > 3


def test_summary_by_hand():
    parent = np.array([[1.0, 0.2], [1.0, 0.4], [0.0, 2.0], [1.0, 0.1]])
    answers = np.array([[1.0, 0.3], [0.0, 1.4], [0.5, 1.0], [0.0, 1.1]])
    found = score.summary(answers, parent)
    assert found["accuracy"] == 0.375 and found["error"] == 0.375
    assert found["choice_nll"] == pytest.approx((0.1 + 1.0 - 1.0 + 1.0) / 4)
    lost = np.array([0.0, 1.0, -0.5, 1.0])
    assert found["error_se"] == pytest.approx(lost.std(ddof=1) / 2)  # paired: of the differences
    assert score.summary(parent, parent)["error_se"] == 0.0


def test_judge_by_hand():
    one = Question(Tokens([1], [[2], [3], [4]]), (1, 4, 1), 1, "sum")
    right, nll = one.judge(torch.tensor([-1.0, -2.0, -3.0, 0.0], dtype=torch.float64))  # the last is padding
    assert right == 0.0 and nll == pytest.approx(-math.log(math.exp(-2) / (math.exp(-1) + math.exp(-2) + math.exp(-3))))
    assert Question(one.tokens, one.sizes, 1, "per_byte").judge(torch.tensor([-1.0, -2.0, -3.0]))[0] == 1.0


def test_whatever_makes_an_answer_right_tells_questions_apart():
    one = QUESTIONS[0]
    others = [
        Question(Tokens([1, 1], one.tokens.choices), one.sizes, one.answer, one.metric),
        Question(one.tokens, (*one.sizes[:-1], 99), one.answer, one.metric),
        Question(one.tokens, one.sizes, 1 - min(1, one.answer), one.metric),
        Question(one.tokens, one.sizes, one.answer, "per_byte"),
    ]
    texts = {score.about([other]) for other in (one, *others)}
    assert len(texts) == 5 and score.about(questions()) == score.about(QUESTIONS)


def items():
    rows = [
        {"set": name, "index": i, "prompt": "p", "choices": [" a", " b"], "answer": 0, "chance": 0.5}
        for name in ("good", "poor")
        for i in range(7)
    ]
    return pd.DataFrame(rows).set_index(["set", "index"])


SELECTION = {
    "good": Selection("per_byte", 0.9, 0.5, 0.1, True),
    "poor": Selection("sum", 0.5, 0.5, 0.1, False),
}


def test_items_are_of_the_half_that_chooses_and_of_sets_that_count():
    found = score.chosen(items(), SELECTION, {"good": 3, "poor": 4})
    assert list(found.index) == [("good", 0), ("good", 2), ("good", 4)] and set(found["metric"]) == {"per_byte"}


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"good": 5}, r"task_scores\.items\.good = 5: the half that chooses has only 4"),
        ({"none": 2}, r"task_scores\.items\.none = 2: the half that chooses has only 0"),
        ({"poor": 2}, "the parent is near chance in all of poor"),
    ],
)
def test_items_that_are_not_there_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        score.chosen(items(), SELECTION, counts)


def test_empty_items_are_refused(parent):
    model = loading.load(parent()).requires_grad_(False)
    wrong = Question(Tokens([1], [[2], []]), (1, 1), 0, "sum")
    with pytest.raises(ValueError, match="item 1: the prompt and each of its choices must have"):
        score.score(model, {0: own(model, 0)}, [QUESTIONS[0], wrong])
