"""Token streams and windows of them."""

import numpy as np
import pandas as pd
import pytest
import small_data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tessera.common import files
from tessera.data import corpus, gguf_parent, tokens

lengths = st.dictionaries(
    st.sampled_from(["leads", "speeches", "chat"]), st.lists(st.integers(1, 40), min_size=1, max_size=12), min_size=1
)
relaxed = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.lists(st.lists(st.integers(1, 99), max_size=9), max_size=9))
def test_stream_gives_documents_back(documents):
    joined, offsets = tokens.stream([np.array(one, np.int32) for one in documents], 0)
    assert joined.dtype == np.int32 and offsets.dtype == np.int64
    for document, offset in zip(documents, offsets, strict=True):
        assert joined[offset : offset + len(document)].tolist() == document
        assert joined[offset + len(document)] == 0
    assert len(joined) == sum(len(one) + 1 for one in documents)


@relaxed
@given(lengths, st.integers(2, 16), st.integers(0, 3))
def test_windows_are_cut_as_said(tmp_path, lengths, length, seed):
    directory = small_data.token_directory(tmp_path, lengths)
    found = tokens.windows(directory, "valid", length, seed=seed)
    _, documents = tokens.load(directory, "valid")
    owner: dict[int, int] = {}
    for window, first, source in zip(found.tokens, found.document, found.source, strict=True):
        inside = {int(token) // 1000 - 1 for token in window if token}
        assert window[0] // 1000 - 1 == first, "a window begins in its document"
        assert {documents.loc[one, "source"] for one in inside} == {source}
        if documents.loc[first, "length"] >= length:
            assert inside == {first} and 0 not in window, "a long document is not crossed"
            assert window[0] % 1000 % length == 0
        else:
            assert window[0] % 1000 == 0
        for one in inside:
            assert owner.setdefault(one, first) == first, "windows that share a document begin in the same one"
    assert len({tuple(window) for window in found.tokens.tolist()}) == len(found), "no window twice"
    for number, row in documents.iterrows():
        assert (found.document == number).sum() >= row["length"] // length, "no long document is left out"


@relaxed
@given(lengths, st.integers(2, 16), st.data())
def test_sources_take_turns_and_a_larger_count_begins_as_a_smaller(tmp_path, lengths, length, data):
    directory = small_data.token_directory(tmp_path, lengths)
    whole = tokens.windows(directory, "valid", length, seed=1)
    count = data.draw(st.integers(0, len(whole)))
    part = tokens.windows(directory, "valid", length, count, seed=1)
    assert np.array_equal(part.tokens, whole.tokens[:count])
    available = {source: (whole.source == source).sum() for source in lengths}
    taken = {source: (part.source == source).sum() for source in lengths}
    for source in lengths:
        assert taken[source] == available[source] or taken[source] >= max(taken.values()) - 1


def test_documents_take_turns(tmp_path):
    directory = small_data.token_directory(tmp_path, {"chat": [400, 40, 40, 40]})
    found = tokens.windows(directory, "valid", 10, 8)
    assert sorted(found.document[:4]) == [0, 1, 2, 3] and sorted(found.document[4:]) == [0, 1, 2, 3]


def test_seeds_draw_other_windows_and_repeat_their_own(tmp_path):
    directory = small_data.token_directory(tmp_path, {"chat": [400] * 5})
    one, again, other = (tokens.windows(directory, "valid", 10, 20, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.tokens, again.tokens)
    assert not np.array_equal(one.tokens, other.tokens)


def test_faults_are_named(tmp_path):
    directory = small_data.token_directory(tmp_path, {"chat": [40]})
    with pytest.raises(ValueError, match=r"split is 'dev'; valid are train, valid, test, ood"):
        tokens.windows(directory, "dev", 10)
    with pytest.raises(ValueError, match=r"the split valid has no source 'owt'; valid are chat"):
        tokens.windows(directory, "valid", 10, sources=["owt"])
    with pytest.raises(ValueError, match=r"has 4 windows of 10 tokens in chat; 5 were asked for"):
        tokens.windows(directory, "valid", 10, 5)


@pytest.fixture
def parent(tmp_path):
    small_data.write_gguf(tmp_path / "small.gguf", small_data.llama())
    files.write_text(tmp_path / "tokenizer.json", gguf_parent.Gguf(tmp_path / "small.gguf").tokenizer().to_str())
    files.write_json(tmp_path / "generation_config.json", {"eos_token_id": [2, 0]})
    return tmp_path / "tokenizer.json", tmp_path / "generation_config.json"


def test_text_becomes_tokens_and_text_again(parent):
    made, separator = tokens.tokenizer(*parent, None)
    assert separator == 0, "the end of text, not that of a turn, which is the model's eos_token_id"
    texts = ["hello, hello world 1984", "naïve — ☃", "<|im_end|> is text here", ""]
    encoded = tokens.encode(made, texts)
    assert [made.decode(one.tolist()) for one in encoded] == texts
    assert all(one.dtype == np.int32 and 2 not in one for one in encoded)
    assert encoded[0][0] == small_data.VOCABULARY.index("hello")


def test_prefix_is_what_the_tokenizer_begins_a_text_with(parent):
    from tokenizers.processors import TemplateProcessing

    made, _ = tokens.tokenizer(*parent, None)
    assert tokens.prefix(made) == []
    pieces = [("<|im_start|>", 1), ("<|im_end|>", 2)]
    made.post_processor = TemplateProcessing(
        single="<|im_start|> <|im_end|> $A <|endoftext|>", special_tokens=[*pieces, ("<|endoftext|>", 0)]
    )
    assert tokens.prefix(made) == [1, 2], "and not what it ends one with"
    [plain], [begun] = tokens.encode(made, ["hello"]), tokens.encode(made, ["hello"], [1, 2])
    assert begun.tolist() == [1, 2, *plain.tolist()] and 0 not in plain
    rows = pd.DataFrame({"text": ["hello", "<|im_start|>hello"], "learnt": [None, [[0, 5]]]})
    streams, _ = corpus.encoded(made, rows)
    located = corpus.located(made, rows, streams)
    assert located["prefix"].tolist() == [2, 0], "a template that does not begin so is left as it is"
    assert located["length"].tolist() == [len(own) for own in streams]


def test_the_separator_is_a_token(parent):
    assert tokens.tokenizer(*parent, "<|endoftext|>")[1] == 0
    with pytest.raises(ValueError, match=r"separator = '</s>' is no token of .*tokenizer\.json.*<\|endoftext\|>"):
        tokens.tokenizer(*parent, "</s>")


def test_without_an_end_of_text_the_separator_is_the_models_own(parent):
    renamed = parent[0].read_text().replace("<|endoftext|>", "<|padding|>")
    files.write_text(parent[0], renamed)
    assert tokens.tokenizer(*parent, None)[1] == 2, "the first of eos_token_id"
    files.write_text(parent[0], renamed.replace("<|im_start|>", "</s>"))
    assert tokens.tokenizer(*parent, None)[1] == 1
    files.write_text(parent[0], renamed)
    files.write_json(parent[1], {})
    with pytest.raises(ValueError, match=r"generation_config\.json: has no eos_token_id"):
        tokens.tokenizer(*parent, None)


def test_rendered_text_has_special_tokens_and_a_mask_of_what_is_learnt(parent):
    made, _ = tokens.tokenizer(*parent, None)
    text = "<|im_start|>user\nhello ☃<|im_end|>\n<|im_start|>assistant\nna\u00efve hello<|im_end|>\n"
    begin = text.index("na\u00efve")
    [found], [mask] = tokens.encode_rendered(made, [text], [[(begin, len(text) - 1)]])
    assert (found == 1).sum() == 2 and (found == 2).sum() == 2
    assert made.decode(found[mask].tolist(), skip_special_tokens=False) == "na\u00efve hello<|im_end|>"
    assert made.decode(found.tolist(), skip_special_tokens=False) == text
    [plain] = tokens.encode(made, [text])
    assert not np.isin([1, 2], plain).any(), "afterwards special tokens in text are text again"


def masked(directory, masks):
    """A split of documents of which the tokens in masks are learnt from."""
    small_data.token_directory(directory, {"chat": [len(one) for one in masks]})
    parts = [np.append(np.array([c == "x" for c in one]), False) for one in masks]
    files.write_npy(tokens.loss_path(directory, "valid"), np.concatenate(parts))
    return directory


def test_windows_bring_the_mask_and_need_something_to_learn(tmp_path):
    directory = masked(tmp_path, ["..xx", "....", "x...", "xxxx"])
    found = tokens.windows(directory, "valid", 4)
    assert sorted(found.document) == [0, 3], "the first token of a window is not predicted"
    assert found.mask is not None
    by_document = dict(zip(found.document.tolist(), found.mask.tolist(), strict=True))
    assert by_document == {0: [False, True, True, False], 3: [True, True, True, False]}
    assert tokens.windows(small_data.token_directory(tmp_path / "b", {"a": [4]}), "valid", 4).mask is None


def test_mask_of_a_last_token_is_that_of_the_next_window(tmp_path):
    found = tokens.windows(masked(tmp_path, [".x.xx.x."]), "valid", 4)
    order = np.argsort(found.tokens[:, 0])
    assert found.mask is not None
    assert found.mask[order].tolist() == [[True, False, True, True], [False, True, False, False]]


@relaxed
@given(st.lists(st.integers(3, 40), min_size=1, max_size=6), st.integers(1, 3), st.integers(4, 9), st.booleans())
def test_windows_begin_as_their_document_does(tmp_path, sizes, prefix, length, learnt):
    directory = small_data.token_directory(tmp_path, {"chat": sizes})
    stream, documents = tokens.load(directory, "valid")
    stream = np.array(stream)
    for offset in documents["offset"]:
        stream[offset : offset + prefix] = -1 - np.arange(prefix)
    files.write_npy(directory / "valid.npy", stream)
    files.write_parquet(directory / "documents.parquet", documents.assign(prefix=prefix))
    tokens.loss_path(directory, "valid").unlink(missing_ok=True)
    if learnt:
        files.write_npy(tokens.loss_path(directory, "valid"), stream % 2 == 1)
    found = tokens.windows(directory, "valid", length)
    assert (found.tokens[:, :prefix] == -1 - np.arange(prefix)).all()
    assert len(found) == tokens.count(documents.assign(prefix=prefix), length) or learnt
    for number, size in enumerate(sizes):
        own = found.tokens[found.document == number]
        if size >= length and not learnt:
            assert len(own) == 1 + (size - length) // (length - prefix)
            bodies = sorted(own[:, prefix:].tolist())
            assert np.diff(np.concatenate(bodies)).tolist() == [1] * (len(bodies) * (length - prefix) - 1), (
                "none is lost"
            )
    if learnt:
        assert found.mask is not None
        assert (found.mask[:, :-1] == (found.tokens[:, 1:] % 2 == 1)).all()
        assert found.mask[:, prefix - 1 : -1].any(1).all()


def test_windows_hold_more_than_a_prefix(tmp_path):
    directory = small_data.token_directory(tmp_path, {"chat": [40]})
    _, documents = tokens.load(directory, "valid")
    files.write_parquet(directory / "documents.parquet", documents.assign(prefix=2))
    with pytest.raises(ValueError, match=r"windows of 2 tokens; the tokenizer begins a text with 2"):
        tokens.windows(directory, "valid", 2)


def test_mask_of_another_stream_is_named(tmp_path):
    directory = masked(tmp_path, ["..xx"])
    files.write_npy(tokens.loss_path(directory, "valid"), np.ones(9, bool))
    with pytest.raises(ValueError, match=r"loss_valid\.npy: 9 tokens; expected the 5 of valid\.npy"):
        tokens.windows(directory, "valid", 4)
