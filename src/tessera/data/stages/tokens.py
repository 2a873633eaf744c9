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
    """Write one stream per split, where each document lies in it, and how many there are of each source."""
    import pandas as pd

    from tessera.data import corpus, tables, tokens

    by_source = {path.stem: files.read_parquet(path) for path in [*texts, *ood_texts]}
    rows, shared = corpus.joined(by_source, [path.stem for path in ood_texts], params.ngram)
    encoder, separator = tokens.tokenizer(tokenizer, generation_config, params.separator)
    encoded = pd.Series(tokens.encode(encoder, rows["text"].tolist()), dtype=object)
    rows["length"] = encoded.map(len)
    rows["offset"] = 0
    for path in streams:
        chosen = rows["split"] == path.stem
        stream, rows.loc[chosen, "offset"] = tokens.stream(encoded[chosen].tolist(), separator)
        files.write_npy(path, stream)
    files.write_parquet(documents, rows[["source", "title", "split", "offset", "length"]])
    counts = tables.counts(rows.assign(characters=rows["text"].str.len()), shared)
    files.write_json(metrics, counts)
    files.write_text(table, tables.documents(counts))


if __name__ == "__main__":
    stage.run(main)
