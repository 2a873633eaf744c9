"""Token streams: one a split, its documents a separator token after each; and windows of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tessera.common import files
from tessera.common.randomness import generator

if TYPE_CHECKING:
    import pandas as pd
    from tokenizers import Tokenizer

#: Special tokens that end a text. A chat model's eos_token_id is often the end of a turn instead.
END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")

SPLITS = ("train", "valid", "test", "ood")


def tokenizer(path: str | Path, generation_config: str | Path, separator: str | None) -> tuple["Tokenizer", int]:
    """Return the tokenizer in tokenizer.json at path, and the token that stands between documents.

    separator is the text of that token, None for the first of END_OF_TEXT that the tokenizer has, or the model's
    eos_token_id if it has none of them. Raises FileNotFoundError, and ValueError if there is no such token.
    """
    from tokenizers import Tokenizer

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    made = Tokenizer.from_file(str(path))
    made.encode_special_tokens = True  # "<|im_end|>" in a document is text
    if separator is not None:
        token = made.token_to_id(separator)
        if token is None:
            special = ", ".join(one.content for one in made.get_added_tokens_decoder().values())
            raise ValueError(
                f"data.tokens.separator = {separator!r} is no token of {path}; valid: null, or a token like {special}"
            )
        return made, token
    ends = {added.content: token for token, added in made.get_added_tokens_decoder().items() if added.special}
    if end := next((text for text in END_OF_TEXT if text in ends), None):
        return made, ends[end]
    eos = files.read_json(generation_config).get("eos_token_id")
    eos = eos[0] if isinstance(eos, list) else eos
    if eos is None:
        raise ValueError(f"{generation_config}: has no eos_token_id; name a token in data.tokens.separator")
    return made, eos


def prefix(made: "Tokenizer") -> list[int]:
    """Return the tokens that the tokenizer begins every text with: of many a `<bos>`, of others none.

    A parent that was trained with them needs them before all else: Gemma 3's perplexity is some ten times as high
    without.
    """
    begun = made.encode("a")
    return [
        token for token, _ in takewhile(lambda pair: pair[1], zip(begun.ids, begun.special_tokens_mask, strict=True))
    ]


def encode(made: "Tokenizer", texts: Sequence[str], before: Sequence[int] = ()) -> list[np.ndarray]:
    """Return the tokens of each text, int32, those of `before` at its beginning."""
    encodings = made.encode_batch_fast(list(texts), add_special_tokens=False)
    return [np.array([*before, *encoding.ids], np.int32) for encoding in encodings]


def encode_rendered(
    made: "Tokenizer", texts: Sequence[str], learnt: Sequence[Sequence[Sequence[int]]]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the tokens of texts that a chat template rendered, int32, and which of them are learnt from, bool.

    The template's special tokens are tokens here, and none is added. learnt holds the [begin, end) of the characters
    that are learnt from, of each text; a token that has part in one is.
    """
    made.encode_special_tokens = False
    try:
        encodings = made.encode_batch(list(texts), add_special_tokens=False)
    finally:
        made.encode_special_tokens = True
    masks = []
    for encoding, spans in zip(encodings, learnt, strict=True):
        offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)
        begins, ends = offsets[:, 0], np.maximum(offsets[:, 1], offsets[:, 0] + 1)  # blanks may have no width
        masks.append(np.zeros(len(offsets), bool))
        for begin, end in spans:
            masks[-1] |= (ends > begin) & (begins < end)
    return [np.array(encoding.ids, np.int32) for encoding in encodings], masks


def stream(documents: Sequence[np.ndarray], separator: int) -> tuple[np.ndarray, np.ndarray]:
    """Join documents, the separator after each: return the tokens, int32, and the offset of each document, int64."""
    ends = np.cumsum([len(tokens) + 1 for tokens in documents], dtype=np.int64)
    joined = np.full(ends[-1] if len(ends) else 0, separator, np.int32)
    offsets = np.concatenate([np.zeros(min(1, len(ends)), np.int64), ends[:-1]])
    for tokens, offset in zip(documents, offsets, strict=True):
        joined[offset : offset + len(tokens)] = tokens
    return joined, offsets


def loss_path(directory: str | Path, split: str) -> Path:
    """Path of the mask of a split's stream, bool: which tokens are learnt from. There is none if all are."""
    return Path(directory) / f"loss_{split}.npy"


def load(directory: str | Path, split: str) -> tuple[np.ndarray, "pd.DataFrame"]:
    """Return the stream of a split as a memory map, (tokens,) int32, and its documents.

    The documents are a table of source, title, split, offset and length, in tokens, and prefix, how many tokens the
    tokenizer began each with (no such column if none); the index, which counts the documents of all splits, is a
    document's number.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; valid are {', '.join(SPLITS)}")
    documents = files.read_parquet(Path(directory) / "documents.parquet")
    return files.read_npy(Path(directory) / f"{split}.npy"), documents[documents["split"] == split]


@dataclass(frozen=True)
class Windows:
    """Pieces of text of equal length.

    Two windows that share text share a document, so that a mean over windows has its standard error by document.
    """

    tokens: np.ndarray
    """(count, length) int32."""
    document: np.ndarray
    """(count,) int64, number of the document that a window begins in."""
    source: np.ndarray
    """(count,) str, of that document."""
    mask: np.ndarray | None = None
    """(count, length) bool: whether the next token, which is predicted there, is learnt from; None if all are.

    The token after the last is the one that follows the window in the stream.
    """

    def __len__(self) -> int:
        return len(self.tokens)


def windows(
    directory: str | Path,
    split: str,
    length: int,
    count: int | None = None,
    seed: int = 0,
    sources: Sequence[str] | None = None,
) -> Windows:
    """Return windows of `length` tokens of a split: `count` of them, or all.

    A document of `length` tokens or more is cut into windows from its beginning, and its rest left out; shorter ones
    that follow one another fill a window together, with the separator between. So a window begins where a document
    does or where the last window of the same document ended, and no document of the short kind is in two. What the
    tokenizer began a document with, all of its windows begin with.

    Sources take turns, and within a source its documents do, in an order drawn by seed; a source that has no more
    drops out. So the first windows of a larger count are those of a smaller. Raises ValueError where there are fewer
    than count, where sources has a name that the split does not, and where a window would hold a prefix alone.

    Of a split that is learnt from in part, windows that predict no such token are left out. Raises ValueError if its
    mask is not of its stream.
    """
    tokens, documents = load(directory, split)
    mask = files.read_npy(path) if (path := loss_path(directory, split)).is_file() else None
    if mask is not None and len(mask) != len(tokens):
        raise ValueError(
            f"{path}: {len(mask)} tokens; expected the {len(tokens)} of {split}.npy; delete both and run again"
        )
    documents = documents.assign(prefix=documents.get("prefix", 0))
    if len(documents) and length <= (longest := documents["prefix"].max()):
        raise ValueError(
            f"{directory}: windows of {length} tokens; the tokenizer begins a text with {longest} of its own"
        )
    known = list(dict.fromkeys(documents["source"]))
    for source in sources or ():
        if source not in known:
            raise ValueError(f"{directory}: the split {split} has no source {source!r}; valid are {', '.join(known)}")
    ranked = []
    for source in sources or known:
        own = documents[documents["source"] == source]
        places = np.array(list(_places(own, length, mask)), np.int64).reshape(-1, 2)
        places = places[_turns(places[:, 0], generator(seed, "windows", split, source, length))]
        ranked += [(rank, source, document, offset) for rank, (document, offset) in enumerate(places)]
    ranked.sort(key=lambda entry: entry[0])  # stable: within a rank, in the order of the sources
    if count is not None and count > len(ranked):
        raise ValueError(
            f"{directory}: the split {split} has {len(ranked)} windows of {length} tokens in "
            f"{', '.join(sources or known)}; {count} were asked for"
        )
    ranked = ranked[:count]
    numbers = np.array([document for _, _, document, _ in ranked], np.int64)
    # The last is the token after a window, a separator at least.
    cells = np.array([offset for *_, offset in ranked], np.int64)[:, None] + np.arange(length + 1)
    begins, prefixes = (documents.loc[numbers, name].to_numpy()[:, None] for name in ("offset", "prefix"))
    cells = np.where(np.arange(length + 1) < prefixes, begins + np.arange(length + 1), cells)
    return Windows(
        tokens=tokens[cells[:, :-1]] if len(ranked) else np.empty((0, length), np.int32),
        document=numbers,
        source=np.array([source for _, source, *_ in ranked], str),
        mask=None if mask is None else mask[cells[:, 1:]] if len(ranked) else np.empty((0, length), bool),
    )


def count(documents: "pd.DataFrame", length: int, mask: np.ndarray | None = None) -> int:
    """Return how many windows of a length the documents of one source have; their table is as `load`'s.

    mask says which tokens of their stream are learnt from, None that all are.
    """
    return sum(1 for _ in _places(documents, length, mask))


def _places(documents: "pd.DataFrame", length: int, mask: np.ndarray | None) -> Iterator[tuple[int, int]]:
    """Yield (document, offset) of the windows of one source that predict a token that is learnt from."""
    documents = documents.assign(prefix=documents.get("prefix", 0))
    first = documents["prefix"].clip(1)  # the first token is not predicted
    for number, offset in _cut(documents, length):
        if mask is None or mask[offset + first[number] : offset + length].any():
            yield number, offset


def _cut(documents: "pd.DataFrame", length: int) -> Iterator[tuple[int, int]]:
    """Yield (document, offset) of the windows of one source, whose documents follow one another in the stream."""
    begin = None  # of the window that short documents are filling
    columns = (documents.index, documents["offset"], documents["length"], documents["prefix"])
    for number, offset, size, before in zip(*(column.to_list() for column in columns), strict=True):
        if size >= length:
            begin = None
            # The prefix takes the place of the last tokens of the window before.
            for start in range(offset, offset + size - length + 1, length - before):
                yield number, start
            continue
        begin = begin or (number, offset)
        if offset + size >= begin[1] + length:
            yield begin
            begin = None


def _turns(documents: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return an order of windows in which documents take turns: all first windows, then all second ones, shuffled."""
    order = random.permutation(len(documents))
    turn = np.empty(len(documents), np.int64)
    taken: dict[int, int] = {}
    for place in order:
        turn[place] = taken[documents[place]] = taken.get(documents[place], -1) + 1
    return order[np.argsort(turn[order], kind="stable")]
