"""Write the documents of one source: title, text, split."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.data.params import OwnSource, TextParams

if TYPE_CHECKING:
    from tessera.data.own_text import Document


class Params(Section):
    text: TextParams
    member: str | None = None
    """Path of the source inside the package, if it is in one."""


def main(
    params: Params, source: str, originals: list[Path], documents: Path, root: Path = Path(), parent: Path | None = None
) -> None:
    """originals are the package of the source, or its own files, whose names are relative to root.

    parent is the directory of the tokenizer whose chat template renders messages; documents then also holds which
    characters are learnt from, and which words must not be in training text.
    """
    import pandas as pd

    from tessera.data import own_files, own_text, text
    from tessera.data.chat_template import ChatTemplate

    settings = params.text.every[source]
    if isinstance(settings, OwnSource):
        places = own_files.named(originals, root) | own_files.of_hub(settings.files)
        template = ChatTemplate(parent) if parent else None
        _write(documents, own_text.documents(source, places, params.text, template), source, template is not None)
        return
    [wheel] = originals
    assert params.member
    rows = text.documents(source, wheel, params.member, params.text)
    if not rows:
        raise ValueError(
            f"{wheel}: {source} has no document that fits data.text; see min_characters and the source's cap"
        )
    files.write_parquet(documents, pd.DataFrame(rows, columns=["title", "text", "split"], dtype="str"))


def _write(path: Path, documents: Iterable["Document"], source: str, rendered: bool) -> None:
    """Write documents as they are read, a thousand at a time. Raises ValueError if there is none."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = [("title", pa.string()), ("text", pa.string()), ("split", pa.string())]
    if rendered:
        columns += [("learnt", pa.list_(pa.list_(pa.int64()))), ("compared", pa.string())]
    schema, count = pa.schema(columns), 0
    with files.replacing(path) as hidden, parquet.ParquetWriter(hidden, schema, compression="zstd") as writer:
        rest = iter(documents)
        while some := list(islice(rest, 1000)):
            count += len(some)
            rows = [{name: getattr(one, name) for name in schema.names} for one in some]
            writer.write_table(pa.Table.from_pylist(rows, schema))
        if not count:
            raise ValueError(f"{source}: no document fits data.text; see min_characters and the source's characters")


if __name__ == "__main__":
    stage.run(main)
