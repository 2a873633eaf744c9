"""Multiple-choice items of public task sets: a prompt, and continuations of which one is right.

Prompts are ours: accuracies compare a child with its parent, not with numbers in papers. An item's text is the prompt
followed by a choice, which begins with the space between them.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tessera.common.randomness import generator
from tessera.data import packages, rows
from tessera.data.params import OwnItems

Source = Literal["bigbench", "evals"]


@dataclass(frozen=True)
class Item:
    """A prompt and its possible continuations."""

    prompt: str
    choices: tuple[str, ...]
    answer: int
    """Index of the right choice."""

    @property
    def characters(self) -> int:
        """Length of the prompt and all choices."""
        return len(self.prompt) + sum(map(len, self.choices))

    @property
    def chance(self) -> float:
        """Share that a guess gets right."""
        return 1 / len(self.choices)


@dataclass(frozen=True)
class TaskSet:
    """Where the items of a set are, and how a record of the file becomes an item; None where it is none."""

    source: Source
    member: str
    read: Callable[[dict[str, Any]], Item | None]


def _item(prompt: str, scores: dict[str, float], before: str = "", after: str = "") -> Item | None:
    """An item of a BIG-bench record's target_scores; a choice's text is put between before and after."""
    right = [i for i, score in enumerate(scores.values()) if score == 1]
    texts = [f"{before}{choice.strip()}{after}" for choice in scores]
    if len(right) != 1 or len(set(texts)) != len(texts) or len(texts) < 2:
        return None
    prompt = prompt.strip()
    return Item(prompt, tuple(f" {text}" if prompt else text for text in texts), right[0])


def continued(record: dict[str, Any]) -> Item | None:
    """A sentence's beginning and its possible ends."""
    return _item(record["input"], record["target_scores"])


def adjectives(record: dict[str, Any]) -> Item | None:
    """Two orders of adjectives before a noun."""
    found = re.fullmatch(r'.*: a " (.+) " b " (.+) " \?', record["input"])
    if not found:
        return None
    right = record["target_scores"]["a"] == 1
    return _item("I have a", {found[1]: float(right), found[2]: float(not right)}, after=".")


def dialogue(record: dict[str, Any]) -> Item | None:
    """A span of time left out of a dialogue, judged with what is said after it."""
    text = re.sub(r"^.*?Context:\s*", "", record["input"], flags=re.DOTALL)
    before, _, after = text.partition("<MASK>")
    return _item(before, record["target_scores"], after=after.rstrip()) if after else None


def sentences(record: dict[str, Any]) -> Item | None:
    """A sentence and the one that follows it, by its first words."""
    return _item(record["input"], record["target_scores"])


def answered(record: dict[str, Any]) -> Item | None:
    """A question and its answer in words."""
    return _item(f"Question: {record['input'].strip()}\nAnswer:", record["target_scores"])


def related(record: dict[str, Any]) -> Item | None:
    """A phrase and the one that is most like it."""
    return _item(f'The phrase most related to "{record["input"].strip()}" is', record["target_scores"])


def alike(record: dict[str, Any]) -> Item | None:
    """What two things have in common, after one example."""
    shown = "Q: Tell me how an apple and a banana are alike.\nA: Both are fruit.\n"
    return _item(f"{shown}Q: {record['input'].strip()}\nA:", record["target_scores"])


def lettered(record: dict[str, Any]) -> Item | None:
    """A question with lettered answers, asked without them: the answer itself is the continuation."""
    found = re.fullmatch(r"(.+?)\n\s*A\. (.+)\nB\. (.+)\nC\. (.+)\nD\. (.+)\nAnswer:", record["question"], re.DOTALL)
    if not found or record["answer"] not in "ABCD":
        return None
    question, *choices = (text.strip() for text in found.groups())
    scores = {choice: float("ABCD"[i] == record["answer"]) for i, choice in enumerate(choices)}
    return _item(f"Question: {question}\nAnswer:", scores) if len(scores) == len(choices) else None


_TASKS = "bigbench/benchmark_tasks"
_AGREEMENT = f"{_TASKS}/subject_verb_agreement"
SETS = {
    "agreement_simple": TaskSet("bigbench", f"{_AGREEMENT}/simple_english.json", continued),
    "agreement_nounpp": TaskSet("bigbench", f"{_AGREEMENT}/nounpp_english.json", continued),
    "agreement_linzen": TaskSet("bigbench", f"{_AGREEMENT}/linzen2016_english.json", continued),
    "agreement_nonce": TaskSet("bigbench", f"{_AGREEMENT}/gulordava_nonce_english.json", continued),
    "hyperbaton": TaskSet("bigbench", f"{_TASKS}/hyperbaton/task.json", adjectives),
    "goal_inference": TaskSet("bigbench", f"{_TASKS}/goal_step_wikihow/goal_inference/task.json", continued),
    "step_inference": TaskSet("bigbench", f"{_TASKS}/goal_step_wikihow/step_inference/task.json", continued),
    "timedial": TaskSet("bigbench", f"{_TASKS}/timedial/task.json", dialogue),
    "discourse_marker": TaskSet("bigbench", f"{_TASKS}/discourse_marker_prediction/task.json", sentences),
    "mmlu_cloze": TaskSet("evals", "evals/registry/data/sandbagging/samples-all-large.jsonl", lettered),
    "general_knowledge": TaskSet("bigbench", f"{_TASKS}/general_knowledge/task.json", answered),
    "phrase_relatedness": TaskSet("bigbench", f"{_TASKS}/phrase_relatedness/task.json", related),
    "similarities": TaskSet("bigbench", f"{_TASKS}/similarities_abstraction/task.json", alike),
    "cause_and_effect": TaskSet("bigbench", f"{_TASKS}/cause_and_effect/one_sentence/task.json", continued),
}


def read(name: str, archive: str | Path) -> Iterator[Item]:
    """Yield the items of a set, in the order of its file.

    Raises ValueError, naming archive and member, where the file is not what the set is read from.
    """
    one = SETS[name]
    ((path, content),) = packages.members(archive, one.member)
    try:
        text = content.decode()
        records = map(json.loads, text.splitlines()) if path.endswith(".jsonl") else json.loads(text)["examples"]
        for record in records:
            if item := one.read(record):
                yield item
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{archive}: {path} is not what {name} is read from ({error!r})") from error


def sample(name: str, archive: str | Path, count: int, characters: int, seed: int) -> list[Item]:
    """Return at most `count` items of a set of at most so many characters, in an order drawn by seed.

    The first items of a larger count are those of a smaller. Repeated items are left out. Raises ValueError as `read`
    does, and where no item is left.
    """
    return _drawn(read(name, archive), name, str(archive), count, characters, seed)


def own(name: str, files: Mapping[str, Path], settings: OwnItems, characters: int, seed: int) -> list[Item]:
    """Return items of a set in files of your own, by the names that errors have of them, drawn as `sample` draws them.

    Raises ValueError, naming file, line and field, on a row that is no item, and if no item is short enough.
    """
    found = (
        _own_item(row, place, settings.join)
        for file, path in files.items()
        for place, row in rows.rows(path, file, ["prompt", "choices", "answer"])
    )
    return _drawn(found, name, ", ".join(settings.files), settings.items, characters, seed)


def _own_item(row: dict[str, Any], place: str, join: str) -> Item:
    prompt: Any = row.get("prompt")
    choices: Any = row.get("choices")
    answer: Any = row.get("answer")
    if not isinstance(prompt, str):
        raise ValueError(f"{place}: prompt is {prompt!r:.60}; expected text")
    texts = isinstance(choices, list) and all(isinstance(choice, str) and choice.strip() for choice in choices)
    if not texts or len(choices) < 2 or len(set(choices)) < len(choices):
        raise ValueError(f"{place}: choices is {choices!r:.60}; expected a list of two or more different texts")
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(choices):
        raise ValueError(f"{place}: answer is {answer!r:.60}; expected the index of a choice, 0 to {len(choices) - 1}")
    stem = prompt.rstrip()
    space = prompt[len(stem) :]  # begins the choices: tokens have the space before a word, not after it
    if stem and not space:
        choices = [choice if choice[0].isspace() else join + choice for choice in choices]
    return Item(stem, tuple(space * bool(stem) + choice for choice in choices), answer)


def _drawn(items: Iterable[Item], name: str, place: str, count: int | None, characters: int, seed: int) -> list[Item]:
    found = [item for item in dict.fromkeys(items) if item.characters <= characters]
    if not found:
        raise ValueError(f"{place}: {name} has no item of at most {characters} characters")
    order = generator(seed, "tasks", name).permutation(len(found))
    return [found[i] for i in order[:count]]
