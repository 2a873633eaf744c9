"""The documents of all sources as one table, without the held-out ones that share text with training."""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tessera.data import decontaminate, tokens

if TYPE_CHECKING:
    import pandas as pd
    from tokenizers import Tokenizer


def joined(
    by_source: Mapping[str, "pd.DataFrame"], out_of_domain: Collection[str], ngram: int
) -> tuple["pd.DataFrame", "pd.Series"]:
    """Return the documents, with their source, and the number of those left out because they share text with training.

    by_source holds title, text and split, and learnt and compared if its documents were rendered from messages (see
    own_text.Document); the split of sources that are out of domain becomes `ood`. Documents of other splits than train
    that share `ngram` consecutive words with training text are left out; their numbers are by (split, source). Raises
    ValueError if no document of the split test is left of a source.
    """
    import pandas as pd

    documents = pd.concat([table.assign(source=source) for source, table in by_source.items()], ignore_index=True)
    documents.loc[documents["source"].isin(list(out_of_domain)), "split"] = "ood"
    held_out = documents["split"] != "train"
    words = documents["compared"].fillna(documents["text"]) if "compared" in documents else documents["text"]
    documents["shared"] = False
    documents.loc[held_out, "shared"] = decontaminate.contaminated(words[held_out], words[~held_out], ngram)
    shared = documents[documents["shared"]].groupby(["split", "source"], sort=False).size()
    for (split, source), count in shared.items():
        if split == "test" and count == ((documents["split"] == split) & (documents["source"] == source)).sum():
            raise ValueError(
                f"{source}: all {count} documents of the split test have {ngram} consecutive words in common with "
                "training text; remove what documents have in common (headers, licences), or raise data.tokens.ngram"
            )
    return documents[~documents["shared"]].reset_index(drop=True), shared


def encoded(encoder: "Tokenizer", documents: "pd.DataFrame") -> tuple["pd.Series", "pd.Series"]:
    """Return the tokens (n,) of each document, and which of them are learnt from, (n,) bool.

    Each begins as the tokenizer begins a text, a rendered one as its template does.
    """
    import pandas as pd

    rendered = documents["learnt"].notna() if "learnt" in documents else pd.Series(False, index=documents.index)
    texts = documents.loc[~rendered, "text"].tolist()
    by_index: dict[int, np.ndarray] = dict(
        zip(documents.index[~rendered], tokens.encode(encoder, texts, tokens.prefix(encoder)), strict=True)
    )
    learnt = {index: np.ones(len(one), bool) for index, one in by_index.items()}
    if rendered.any():
        chosen = documents[rendered]
        streams, masks = tokens.encode_rendered(encoder, chosen["text"].tolist(), chosen["learnt"].tolist())
        by_index |= zip(chosen.index, streams, strict=True)
        learnt |= zip(chosen.index, masks, strict=True)
    tokenised, masks = (pd.Series(values, dtype=object).reindex(documents.index) for values in (by_index, learnt))
    return tokenised, masks


def located(encoder: "Tokenizer", documents: "pd.DataFrame", streams: "pd.Series") -> "pd.DataFrame":
    """Return the documents with length, of their tokens, and prefix, how many of these the tokenizer began them with.

    There is no prefix of a tokenizer that begins texts with none.
    """
    documents = documents.assign(length=streams.map(len))
    if not (before := tokens.prefix(encoder)):
        return documents
    return documents.assign(prefix=streams.map(lambda own: len(before) * (own[: len(before)].tolist() == before)))


def mask(masks: Iterable[np.ndarray]) -> np.ndarray:
    """Return which tokens of a stream of documents are learnt from, bool, of the masks (n,) of the documents.

    The separator after a document is if the document's last token is, as in plain text all tokens are.
    """
    parts = [np.append(one, one[-1:]) if len(one) else np.ones(1, bool) for one in masks]
    return np.concatenate([np.empty(0, bool), *parts])
