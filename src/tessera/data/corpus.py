"""The documents of all sources as one table, without the out-of-domain ones that share text with training."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from tessera.data import decontaminate

if TYPE_CHECKING:
    import pandas as pd


def joined(
    by_source: Mapping[str, "pd.DataFrame"], out_of_domain: Collection[str], ngram: int
) -> tuple["pd.DataFrame", "pd.Series"]:
    """Return the documents, with their source, and the number of documents that share text with training.

    by_source holds title, text and split; the split of sources that are out of domain becomes `ood`, and those of
    their documents that share `ngram` consecutive words with training text are left out. The numbers, also of documents
    that stay, are by (split, source).
    """
    import pandas as pd

    documents = pd.concat([table.assign(source=source) for source, table in by_source.items()], ignore_index=True)
    ood = documents["source"].isin(list(out_of_domain))
    documents.loc[ood, "split"] = "ood"
    held_out = documents["split"] != "train"
    documents["shared"] = False
    documents.loc[held_out, "shared"] = decontaminate.contaminated(
        documents.loc[held_out, "text"], documents.loc[~held_out, "text"], ngram
    )
    shared = documents[documents["shared"]].groupby(["split", "source"], sort=False).size()
    return documents[~(ood & documents["shared"])].reset_index(drop=True), shared
