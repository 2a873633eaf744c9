"""Write the documents of one source: title, text, split."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.data.params import TextParams


class Params(Section):
    text: TextParams
    member: str
    """Path of the source inside the package."""


def main(params: Params, source: str, wheel: Path, documents: Path) -> None:
    import pandas as pd

    from tessera.data import text

    found = text.documents(source, wheel, params.member, params.text)
    if not found:
        raise ValueError(
            f"{wheel}: {source} has no document that fits data.text; see min_characters and the source's cap"
        )
    files.write_parquet(documents, pd.DataFrame(found, columns=["title", "text", "split"], dtype="str"))


if __name__ == "__main__":
    stage.run(main)
