"""JSON, parquet and xlsx files: their cells keep their types, and faults have one message."""

import datetime
import decimal
import json
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import TableFormat
from sparsecbm.data.formats.reader import read_table
from sparsecbm.data.source_table import text_cells

DAY = datetime.datetime.fromisoformat("2026-05-01")
ROWS = [{"text": "good soup", "stars": 3}, {"text": "bad soup", "stars": None}]


def read(tmp_path, content: str | bytes, name: str = "t.jsonl"):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(tmp_path / name).frame


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(json.dumps(row) for row in ROWS),
        "\ufeff" + "\r\n\n".join(json.dumps(row) for row in ROWS),
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\n".join(json.dumps(row, indent=2) for row in ROWS),
        ",\n".join(json.dumps(row, indent=2) for row in ROWS),
    ],
)
@pytest.mark.parametrize("name", ["t.jsonl", "t.json", "T.JSON"])
def test_every_layout_of_json_gives_the_same_rows(tmp_path, content, name):
    assert read(tmp_path, content, name).to_dict("records") == ROWS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\n{"text": "b", "n": 1, "text": "c"}', r"line 2 names the key 'text' twice, as entries 1 and 3"),
        ('[{"text": "a", "text": "b"}]', r"names the key 'text' twice"),
        ('{"text": "a"}\n' + "[" * 100_000, r"line 2 is not valid JSON: it is nested too deeply"),
        ('{"n": ' + "7" * 5_000 + "}", r"line 1 is not valid JSON: it holds a number with too many digits"),
        ('{"text": "a"}\n{"text": "b', r"line 2 is not valid JSON.*may be cut off"),
        ('{"text": {"0": "a"}, "stars": {"0": 3}}', r'whole columns.*orient="records"'),
        ('{\n "text": "a"\n}\n{\n "text": oops}', r"line 4 is not valid JSON"),
    ],
)  # fmt: skip
def test_a_fault_of_json_is_one_message(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


def write_parquet(tmp_path, **columns):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def test_wide_whole_numbers_with_a_gap_stay_apart(tmp_path):
    wide = [2**60 + n for n in range(50)]
    cells = read_table(write_parquet(tmp_path, n=[*wide, None])).frame["n"]
    texts, faults = text_cells(cells, numbers=True)
    assert texts.dropna().tolist() == [str(n) for n in wide] and pd.isna(texts.iloc[50]) and faults.isna().all()
    # As floats they are rounded already, so nobody can tell them apart any more.
    texts, faults = text_cells(pd.Series([*wide, None], dtype="float64"), numbers=True)
    assert texts.isna().all() and faults.str.contains("not exact").sum() == 50
    texts, _ = text_cells(pd.Series([3.0, None, 2.5]), numbers=True)
    assert texts.tolist()[0] == "3" and texts.tolist()[2] == "2.5"


def test_an_index_and_numbered_columns_are_columns(tmp_path):
    frame = pd.DataFrame({0: ["a"], 1: ["b"]}, index=pd.Index(["x7"], name="ident"))
    frame.to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").frame.to_dict("records") == [{"0": "a", "1": "b", "ident": "x7"}]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (datetime.date(2026, 5, 1), "2026-05-01"),
        (DAY, "2026-05-01"),
        (datetime.datetime.fromisoformat("2026-05-01T12:30"), "2026-05-01T12:30:00"),
        (decimal.Decimal("3.00"), "3"),
        (decimal.Decimal("2.50"), "2.5"),
        (True, "True"),
        ({"a": 1}, "holds a dict"),
        (["a"], "holds a list"),
        (b"a", "holds a bytes"),
        (float("inf"), "holds inf, which is no state"),
        ("Pos\0itive", "damaged: column 'c' holds replacement or control characters: 'Pos\\x00itive'"),
        ("a \ud83d", "holds replacement or control characters"),
    ],
)
def test_a_cell_is_text_or_named_as_what_it_is(cell, text):
    texts, faults = text_cells(pd.Series([cell], dtype=object, name="c"), numbers=True)
    assert texts[0] == text if pd.isna(faults[0]) else text in faults[0] and pd.isna(texts[0])


def test_parquet_faults_are_one_message(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet: columns 1 and 2 are both named 'text'"):
        read_table(tmp_path / "t.parquet")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="is a folder; name a file"):
        read_table(tmp_path / "folder.csv")


def test_a_workbook_is_read_by_sheet_and_header(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Reviews of May"])
    book.active.append(["text", "stars", "seen"])
    book.active.append(["good soup", 3, DAY])
    book.active.append(["bad soup", None, None])
    book.create_sheet("empty")
    book.save(tmp_path / "T.XLSX")
    with pytest.raises(DataError, match=r"has no sheet 'x'; it has 'Sheet', 'empty'"):
        read_table(tmp_path / "T.XLSX", TableFormat(sheet="x"))
    with pytest.raises(DataError, match="has no rows"):
        read_table(tmp_path / "T.XLSX", TableFormat(sheet="empty"))
    assert "source.format: {header: 2}" in read_table(tmp_path / "T.XLSX").hint
    frame = read_table(tmp_path / "T.XLSX", TableFormat(header=2)).frame
    assert list(frame.columns) == ["text", "stars", "seen"] and frame["stars"].tolist() == [3, None]
    (tmp_path / "broken.xlsx").write_bytes(b"PK no workbook")
    with pytest.raises(DataError, match=r"broken\.xlsx is not a readable xlsx file"):
        read_table(tmp_path / "broken.xlsx")


def test_without_openpyxl_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"pip install 'sparsecbm\[xlsx\]'"):
        read_table(tmp_path / "t.xlsx")


def test_lists_in_lines_of_json_are_named_as_such(tmp_path):
    with pytest.raises(DataError, match=r"more than one list, .* \(line 2\); each line must be an object"):
        read(tmp_path, '["soup", 1]\n["bread", 2]\n')
    with pytest.raises(DataError, match=r"line 2 holds null; each line must be an object"):
        read(tmp_path, '{"text": "soup"}\nnull\n')
