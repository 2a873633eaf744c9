"""Tokenise the documents of all sources, without the out-of-domain ones that share runs of words with training text."""

from pathlib import Path

from tessera.common import files, stage
from tessera.data.params import TokensParams


def main(
    params: TokensParams,
    texts: list[Path],
    ood_texts: list[Path],
    tokenizer: Path,
    generation_config: Path,
    streams: list[Path],
    documents: Path,
    metrics: Path,
    table: Path,
) -> None:
    import pandas as pd

    from tessera.data import decontaminate, tables, tokens

    read = {path.stem: files.read_parquet(path) for path in [*texts, *ood_texts]}
    found = pd.concat([one.assign(source=source) for source, one in read.items()], ignore_index=True)
    ood = found["source"].isin([path.stem for path in ood_texts])
    found.loc[ood, "split"] = "ood"
    held_out = found["split"] != "train"
    found["shared"] = False
    found.loc[held_out, "shared"] = decontaminate.contaminated(
        found.loc[held_out, "text"], found.loc[~held_out, "text"], params.ngram
    )
    shared = found[found["shared"]].groupby(["split", "source"], sort=False).size()
    found = found[~(ood & found["shared"])].reset_index(drop=True)

    encoder, separator = tokens.tokenizer(tokenizer, generation_config, params.separator)
    encoded = pd.Series(tokens.encode(encoder, found["text"].tolist()), dtype=object)
    found["length"] = encoded.map(len)
    found["offset"] = 0
    for path in streams:
        chosen = found["split"] == path.stem
        stream, found.loc[chosen, "offset"] = tokens.stream(encoded[chosen].tolist(), separator)
        files.write_npy(path, stream)
    files.write_parquet(documents, found[["source", "title", "split", "offset", "length"]])
    counts = tables.counts(found.assign(characters=found["text"].str.len()), shared)
    files.write_json(metrics, counts)
    files.write_text(table, tables.documents(counts))


if __name__ == "__main__":
    stage.run(main)
