"""Tokenise the documents of all sources, without the held-out ones that share runs of words with training text."""

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
    loss: list[Path],
    documents: Path,
    metrics: Path,
    table: Path,
) -> None:
    """Write one stream per split, where each document lies in it, and how many there are of each source.

    loss names a file per split for which of its tokens are learnt from, if not all are.
    """
    from tessera.data import corpus, tables, tokens

    by_source = {path.stem: files.read_parquet(path) for path in [*texts, *ood_texts]}
    rows, shared = corpus.joined(by_source, [path.stem for path in ood_texts], params.ngram)
    encoder, separator = tokens.tokenizer(tokenizer, generation_config, params.separator)
    encoded, learnt = corpus.encoded(encoder, rows)
    rows = corpus.located(encoder, rows, encoded).assign(offset=0)
    for path in streams:
        chosen = rows["split"] == path.stem
        stream, rows.loc[chosen, "offset"] = tokens.stream(encoded[chosen].tolist(), separator)
        files.write_npy(path, stream)
        mask = tokens.loss_path(path.parent, path.stem)
        if mask in loss:
            files.write_npy(mask, corpus.mask(learnt[chosen]))
        else:
            mask.unlink(missing_ok=True)  # of parameters of before
    columns = ["source", "title", "split", "offset", "length", "prefix"]
    files.write_parquet(documents, rows[[name for name in columns if name in rows]])
    counts = tables.counts(rows.assign(characters=rows["text"].str.len()), shared)
    files.write_json(metrics, counts)
    files.write_text(table, tables.documents(counts))


if __name__ == "__main__":
    stage.run(main)
