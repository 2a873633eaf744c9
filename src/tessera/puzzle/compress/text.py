"""How much text there is, and how it is split so that every side has some: counted as the workflow will count it."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera.data import own_files, rows
from tessera.data.params import HUB, OwnSource, TextParams
from tessera.puzzle.compress import REPOSITORY

if TYPE_CHECKING:
    import pandas as pd

    from tessera.data.parent import Texts
    from tessera.puzzle.compress.request import Request

#: Lengths of windows in tokens, the best first.
WINDOWS = (128, 64, 32)
#: Lengths at most of those that score variants, and that test the child, where no attention has a window.
SCORED, TESTED = 80, 128
#: Text is as many times as long as the windows of attentions that are searched.
TIMES = 4
#: Characters at which long documents are cut if there are too few of them.
CUT = 4000
#: Characters that are read of a source at most: some millions of tokens.
MOST_CHARACTERS = 20_000_000
#: Documents of fewer characters are left out, as in params.yaml.
SHORTEST = 100
#: Windows of train, valid, and of test of each source: as many as are wanted, and as many as there must be.
WANTED, LEAST = (64, 16, 8), (8, 3, 2)
#: Consecutive words that held-out documents must not share with training text, as in params.yaml.
NGRAM = 13


@dataclass(frozen=True)
class Text:
    """The text as it will be split."""

    sources: dict[str, dict[str, Any]]
    """Entries of data.text.sources."""
    percent: int
    """Share of the documents that test and valid have, each, %."""
    window: int
    """Tokens of a window."""
    scored: int
    """Tokens of those that score variants."""
    tested: int
    """Tokens of those that test the child."""
    windows: dict[str, dict[str, int]]
    """How many windows there are, by split and source."""
    documents: int
    tokens: dict[str, int]
    """Of train, valid and test."""
    longest: dict[str, int]
    """Tokens of the longest test document of each source."""

    def count(self, split: str) -> int:
        """Windows of a split in all sources."""
        return sum(self.windows[split].values())


def entries(request: "Request", cut: int | None) -> dict[str, dict[str, Any]]:
    """The sources as data.text.sources has them."""
    made = {}
    for name, paths in request.text.items():
        size = sum(Path(path).stat().st_size for path in paths if not HUB.fullmatch(path))
        capped = {"characters": MOST_CHARACTERS} if size > MOST_CHARACTERS else {}
        made[name] = {"files": paths, "format": request.format, "field": request.field, "title": None} | capped
        made[name] |= {"loss": request.loss} if request.loss != "all" else {}
        made[name] |= {"cut": cut} if cut else {}
    return made


def check(request: "Request") -> None:
    """Raise ValueError, naming file and line, if the first row of a file cannot be read or lacks the field."""
    params = text_params(entries(request, None), 5)
    for name, paths in request.text.items():
        own = params.every[name]
        assert isinstance(own, OwnSource)
        for path in paths:
            if not HUB.fullmatch(path):
                next(rows.rows(Path(path), path, [own.column]))


def split(request: "Request", texts: "Texts", parent: Path) -> Text:
    """Read and tokenise the text, and choose how it is split; parent is the directory of the chat template.

    Where an attention's window is searched, all text is in windows of TIMES as many tokens.

    Raises ValueError, naming file and line, on text that cannot be read, and saying how much is needed, if there is
    too little.
    """
    choices = [(None, 5), (None, 10), *([(CUT, 5), (CUT, 10)] if request.format == "text" else [])]
    least = [*choices, (None, 20), *([(CUT, 20)] if request.format == "text" else [])]
    if request.format == "text" and request.window is None:  # in short pieces there is little beyond a window
        least.append((CUT // 10, 20))
    tokenised: dict[int | None, pd.DataFrame] = {}
    every = WINDOWS if request.window is None else (TIMES * request.window,)
    for asked, options, lengths in ((WANTED, choices, every[:1]), (LEAST, least, every)):
        for window in lengths:
            for cut, percent in options:
                if cut not in tokenised:
                    tokenised[cut] = _tokenised(request, entries(request, cut), texts, parent)
                most = (SCORED, TESTED) if request.window is None else (window, window)
                text = _split(tokenised[cut], entries(request, cut), percent, window, most)
                if _enough(text, asked):
                    return text
    frame = tokenised[None]
    raise ValueError(
        f"--text: {frame['length'].sum():,} tokens in {len(frame):,} documents are too few: needed are {LEAST[0]} "
        f"windows of {every[-1]} tokens to learn from, {LEAST[1]} to choose by, and {LEAST[2]} of each source to "
        f"test on, from different documents; expected about {10 * every[-1] * sum(LEAST):,} tokens or more, and for "
        "a good child a few hundred thousand"
    )


def _enough(text: Text, asked: Sequence[int]) -> bool:
    train, valid, test = asked
    all_tested = all(text.windows["test"][name] >= test for name in text.sources)
    return text.count("train") >= train and text.count("valid") >= valid and all_tested


def _tokenised(request: "Request", sources: Mapping[str, Any], texts: "Texts", parent: Path) -> "pd.DataFrame":
    """All documents, without a split, with their numbers of tokens (see corpus.located), and which are `counted`."""
    import pandas as pd

    from tessera.data import corpus, own_text, tokens
    from tessera.data.chat_template import ChatTemplate

    params = text_params(sources, 5)
    template = ChatTemplate(parent) if request.format == "messages" else None
    documents: list[dict[str, Any]] = []
    for name, source in sources.items():
        paths = [Path(path) for path in source["files"] if not HUB.fullmatch(path)]
        places = own_files.named(paths, REPOSITORY) | own_files.of_hub(source["files"])
        documents += [vars(one) | {"source": name} for one in own_text.documents(name, places, params, template)]
    if not documents:
        raise ValueError(f"--text: no document has {SHORTEST} characters or more")
    frame = pd.DataFrame(documents)
    if template is None:
        frame = frame.drop(columns=["learnt", "compared"])
    with tempfile.TemporaryDirectory() as scratch:
        texts.write(Path(scratch))
        encoder, _ = tokens.tokenizer(Path(scratch, "tokenizer.json"), Path(scratch, "generation_config.json"), None)
    encoded, counted = corpus.encoded(encoder, frame)
    return corpus.located(encoder, frame, encoded).assign(counted=counted)


def _split(frame: "pd.DataFrame", sources: dict[str, Any], percent: int, window: int, most: tuple[int, int]) -> Text:
    from tessera.data import corpus, tokens
    from tessera.data.split import SPLITS
    from tessera.data.split import split as side

    sides = [
        side(source, title, percent, percent) for source, title in zip(frame["source"], frame["title"], strict=True)
    ]
    whole = frame.assign(split=sides)
    try:
        kept, _ = corpus.joined({name: part for name, part in whole.groupby("source", sort=False)}, [], NGRAM)
    except ValueError:  # no test document is left of a source
        kept = whole.iloc[:0]
    windows: dict[str, dict[str, int]] = {name: dict.fromkeys(sources, 0) for name in SPLITS}
    longest = dict.fromkeys(sources, 0)
    for (name, source), part in kept.groupby(["split", "source"]):
        offsets = (part["length"] + 1).cumsum() - part["length"] - 1
        windows[name][source] = tokens.count(part.assign(offset=offsets), window + 1, corpus.mask(part["counted"]))
        if name == "test":
            longest[source] = int(part["length"].max())
    totals = {name: int(kept.loc[kept["split"] == name, "length"].sum()) for name in SPLITS}
    scored, tested = (min(length, window) for length in most)
    return Text(dict(sources), percent, window, scored, tested, windows, len(frame), totals, longest)


def text_params(sources: Mapping[str, Any], percent: int) -> TextParams:
    """data.text of these sources alone."""
    return TextParams.model_validate(settings(sources, percent))


def settings(sources: Mapping[str, Any], percent: int) -> dict[str, Any]:
    """data.text as plain values."""
    return {
        "sources": dict(sources),
        "out_of_domain": {},
        "min_characters": SHORTEST,
        "min_turns": 6,
        "first_year": 1900,
        "test_percent": percent,
        "valid_percent": percent,
    }


def sentences(text: Text) -> Iterator[str]:
    """What a plan says of the text."""
    counts = ", ".join(f"{text.tokens[name]:,} {name}" for name in ("train", "valid", "test"))
    yield f"{text.documents:,} documents, tokens: {counts}; windows of {text.window} tokens"
    if any("cut" in source for source in text.sources.values()):
        size = next(source["cut"] for source in text.sources.values() if "cut" in source)
        yield f"too few documents to be split: longer ones are cut into pieces of at most {size:,} characters"
    if text.tokens["train"] < 100_000:
        yield "little text: the child is chosen and healed on it alone; a few hundred thousand tokens are better"
