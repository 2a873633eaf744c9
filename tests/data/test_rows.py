"""Rows of files of every kind, and what is said of those that cannot be read."""

import gzip
import json
import re

import pandas as pd
import pyarrow as pa
import pytest

from tessera.data import rows

ROWS = [{"text": "One, café.", "title": "a", "n": 1}, {"text": "Two\nlines ☃", "title": "b", "n": 2}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def arrow(path, table):
    """As the datasets library writes: a stream."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


def write(path, content=LINES):
    table = pa.Table.from_pylist(ROWS)
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(content))
    elif path.name.endswith(".zst"):
        with pa.CompressedOutputStream(str(path), "zstd") as file:
            file.write(content)
    elif path.suffix == ".json":
        path.write_text(json.dumps(ROWS))
    elif path.suffix == ".parquet":
        pd.DataFrame(ROWS).to_parquet(path)
    elif path.suffix == ".arrow":
        arrow(path, table)
    else:
        path.write_bytes(content)
    return path


def read(path, *fields):
    return list(rows.rows(path, path.name, list(fields or ("text", "title"))))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.json", "a.parquet", "a.arrow"])
def test_rows_and_their_places(tmp_path, name):
    found = read(write(tmp_path / name))
    assert [place for place, _ in found] == [f"{name}:1", f"{name}:2"]
    assert [(row["text"], row["title"]) for _, row in found] == [(row["text"], row["title"]) for row in ROWS]


def test_a_text_file_is_one_document(tmp_path):
    path = write(tmp_path / "a.txt", "\ufeffOne.\n\nTwo ☃.\n".encode())
    assert read(path, "body") == [("a.txt", {"body": "One.\n\nTwo ☃.\n"})]


def test_empty_lines_and_a_byte_order_mark_are_passed_over(tmp_path):
    path = write(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "a"}\n\n  \n{"text": "b"}')
    assert [place for place, _ in read(path)] == ["a.jsonl:1", "a.jsonl:4"]


def test_columns_that_nobody_asked_for_are_not_read(tmp_path):
    assert [row for _, row in read(write(tmp_path / "a.parquet"), "text")] == [{"text": row["text"]} for row in ROWS]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.arrow"])
def test_large_files_are_read_as_they_are_asked_for(tmp_path, name):
    assert next(rows.rows(write(tmp_path / name), name, ["text"]))[0] == f"{name}:1"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"ab\xff", "a.txt: not UTF-8 text (byte 2)"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}', "a.jsonl:2: not UTF-8 text (byte 10 of the line)"),
        ("a.jsonl", b'{"text": "a"}\n{"text": ', "a.jsonl:2: not JSON (Expecting value, column 10)"),
        ("a.jsonl", b'["a"]', "a.jsonl:1: a list; expected an object with fields"),
        ("a.jsonl", b'{"body": "a", "id": 3}', "a.jsonl:1: has no field 'text'; it has body, id"),
        ("a.jsonl", b'{"text": null}', "a.jsonl:1: has no field 'text'; it has nothing"),
        ("a.jsonl", b"\n", "a.jsonl: holds no row"),
        ("a.csv", b"text\na", "a.csv: not a kind of file that is read; expected .txt, .jsonl, "),
        ("a.xz", b"", "a.xz: not a kind of file that is read"),
    ],
)
def test_faults_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"text": "a"}', "a.json: holds a dict; expected a list, or an object per line in a .jsonl"),
        (b'[{"text": "a"},\n 3, ]', "a.json:2: not JSON"),
        (b'[{"text": "a"}, 3]', "a.json:2: a int; expected an object"),
        (b"\xff", "a.json: not UTF-8 text (byte 0)"),
        (b"[]", "a.json: holds no row"),
    ],
)
def test_faults_of_a_json_list_are_named(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        read(tmp_path / "a.json")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.arrow"])
def test_truncated_files_are_named(tmp_path, name):
    path = write(tmp_path / name, LINES * 50)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=rf"{name}: truncated or "):
        read(path)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.arrow"])
def test_other_content_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"plain text, and enough of it")
    with pytest.raises(ValueError, match=rf"{name}: truncated or "):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_column_that_a_table_has_not(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name}: has no column 'body'; it has text, title, n"):
        read(write(tmp_path / name), "body")


def test_a_missing_file_keeps_the_systems_words(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "a.jsonl")
