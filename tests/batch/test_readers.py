"""Each kind of file gives its rows one by one; a cell without a text is a failing row, another file an error."""

import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.batch import readers
from sparsecbm.batch.readers import READERS, Columns, read_parquet
from sparsecbm.batch.rows import MAX_CHARACTERS, Row

COLUMNS = Columns("text", "key")
LONG = "a" * (MAX_CHARACTERS + 1)
TOO_LONG = "the text has 100,001 characters, more than 100,000"


def rows(path, columns=COLUMNS):
    return list(READERS[path.suffix](path, path.name, columns))


def write_table(path, **columns):
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


def test_rows_of_a_csv_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        b'key,text\r\nx,"the food, ""so"" good\nand loud"\r\n\r\ny,\xe2\x98\x95 bad\r\nz,caf\xe9\r\n,\r\n'
        b"v,one,two\r\nkey,text\r\nw,quiet\rand slow\r\n" + f"u,{LONG}\n".encode()
    )
    assert rows(path) == [
        Row("a.csv", 1, "x", 'the food, "so" good\nand loud'),
        Row("a.csv", 2, "y", "☕ bad"),
        Row("a.csv", 3, "z", "caf\ufffd", "byte 0xE9 at character 4 is not UTF-8"),
        Row("a.csv", 4, None, "", "the text is empty"),
        Row("a.csv", 5, None, "v,one,two", "line 8: the row has 3 field(s), the header has 2"),
        Row("a.csv", 6, None, "key,text", "line 9: the row repeats the header"),
        Row("a.csv", 7, "w", "quiet\rand slow"),
        Row("a.csv", 8, "u", "a" * 1000, TOO_LONG),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "\ufefftext\tkey\nbad food\tx\n".encode()),
        ("a.csv", "sep=;\ntext;key\nbad food;x\n".encode("utf-16")),
        ("a.csv", b"key,text,\nx,bad food,\n"),
        ("a.csv", b"key;text;note\nx;bad food;a, b\n"),
        ("a.csv", b"key\ttext\nx\tbad food\n"),
    ],
)
def test_separators_and_encodings_that_a_file_declares(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert rows(tmp_path / name) == [Row(name, 1, "x", "bad food")]


def test_rows_of_json_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"text": "the food", "key": 7}\n\n"bad \\ud83d"\n{"text": null}\n{"key": "k"}\n{"text": 4}\n{oops\n[1]\n'
        b'{"text": "caf\xe9"}\n{"text": "a", "text": "b"}\n{"text": "last"}'
    )
    assert [(row.number, row.id, row.text, row.reason) for row in rows(path)] == [
        (1, "7", "the food", None),
        (2, None, "bad \ufffd", None),
        (3, None, "", "the text is missing"),
        (4, "k", "", "the text is missing"),
        (5, None, "4", "the cell holds a int, not text"),
        (6, None, "{oops\n", "line 7 is not valid JSON: Expecting property name enclosed in double quotes: line 1 "
         "column 2 (char 1)"),
        (7, None, "[1]\n", "line 8 holds no object and no text"),
        (8, None, '{"text": "caf\ufffd"}\n', "line 9: byte 0xE9 is not UTF-8"),
        (9, None, '{"text": "a", "text": "b"}\n', "line 10 names the key 'text' twice, as entries 1 and 2 of its "
         "object; remove or rename one of them"),
        (10, None, "last", None),
    ]  # fmt: skip


def test_a_line_without_end_is_one_failing_row(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "MAX_RECORD", 30)
    path = tmp_path / "a.jsonl"
    path.write_text(f'{json.dumps({"text": "b" * 90})}\n"short"\n')
    assert [(row.number, row.reason) for row in rows(path)] == [(1, "line 1 has more than 30 bytes"), (2, None)]


def test_rows_of_a_parquet_file(tmp_path):
    texts = pa.array([b"the food", b"caf\xe9", None, b" "], pa.binary()).cast(pa.string(), safe=False)
    path = write_table(tmp_path / "a.parquet", text=texts, key=[1, 2, 3, None], other=[0] * 4)
    assert rows(path) == [
        Row("a.parquet", 1, "1", "the food"),
        Row("a.parquet", 2, "2", "caf\ufffd", "byte 0xE9 at character 4 is not UTF-8"),
        Row("a.parquet", 3, "3", "", "the text is missing"),
        Row("a.parquet", 4, None, " ", "the text is empty"),
    ]


@pytest.mark.parametrize(
    ("cells", "texts", "reason"),
    [
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"], None),
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"], None),
        (pa.array([b"a", b"b"]), ["b'a'", "b'b'"], "the cell holds a bytes, not text"),
        (pa.array([["a"], []]), ["['a']", "[]"], "the cell holds a list, not text"),
        (pa.array([1.5, float("nan")]), ["1.5", ""], "the cell holds a float, not text"),
    ],
)
def test_cells_of_other_types(cells, texts, reason, tmp_path):
    path = write_table(tmp_path / "a.parquet", text=cells)
    found = rows(path, Columns("text"))
    assert [row.text for row in found] == texts and found[0].reason == reason


def test_rows_are_counted_over_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "AT_ONCE", 2)
    path = write_table(tmp_path / "a.parquet", text=["a", "b", "c", "d", "e"])
    assert [row.number for row in read_parquet(path, "a", Columns("text"))] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("content", "text", "reason"),
    [
        (b"the food\nwas good\n", "the food\nwas good\n", None),
        ("bad ☕".encode("utf-16"), "bad ☕", None),
        (b"caf\xe9", "caf\ufffd", "byte 0xE9 at character 4 is not UTF-8"),
        (b"", "", "the text is empty"),
        (b"\xff\xfea", "a", "the bytes are not utf-16-le"),
    ],
)
def test_a_text_file_is_one_text(content, text, reason, tmp_path):
    (tmp_path / "a.txt").write_bytes(content)
    (row,) = rows(tmp_path / "a.txt")
    assert (row.file, row.number, row.text, row.reason) == ("a.txt", 1, text, reason)
    assert row.id == ("a.txt" if "the bytes" not in str(reason) else None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"id,body\n1,x\n", "a.csv has no column 'text'; it has id, body; name one of them by --column"),
        ("a.csv", b"text\nx\n", "a.csv has no column 'key'; it has text; name one of them by --id"),
        ("a.csv", b"text,text\na,b\n", "columns 1 and 2 are both named 'text'"),
        ("a.csv", b"", "a.csv has no header"),
        ("a.csv", b'key,text\n1,"the food\n2,bad\n', "line 2: a quote opens in this row and never closes"),
        ("a.csv", b"PK\x03\x04rest", "a.csv holds an xlsx file"),
        ("a.csv", "key,text\n1,a\n".encode("utf-16")[:-1], "a.csv cannot be decoded"),
        ("a.jsonl", '"a"\n'.encode("utf-16"), "a.jsonl is utf-16-le, and JSON lines are UTF-8"),
        ("a.parquet", b"PAR1 no more", "a.parquet is not a readable parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        rows(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) or "both named" in message
