"""csv and tsv files: broken rows by number, names, dialects and their messages."""

import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import TableFormat
from sparsecbm.data.formats.reader import read_table

ROWS = [f"dish {n} was fine,{1 + n % 3},{'good' if n % 2 else 'bad'}" for n in range(12)]
QUOTED_END = "',"


def read(tmp_path, lines, name="t.csv", **form):
    content = lines if isinstance(lines, bytes) else "\n".join(lines).encode()
    (tmp_path / name).write_bytes(content)
    return read_table(tmp_path / name, TableFormat(**form))


def messages(table) -> dict[int, str]:
    return {number: row.message for number, row in table.broken.items()}


def test_rows_of_other_lengths_are_broken_and_the_rest_is_read(tmp_path):
    lines = ["text,stars,food", *ROWS]
    lines[4] += ",more"
    lines[8] = "dish 7 was fine,2"
    table = read(tmp_path, lines)
    assert messages(table) == {
        4: "row 4 (line 5) has 4 field(s), the header has 3",
        8: "row 8 (line 9) has 2 field(s), the header has 3",
        9: "row 9 (line 10) is probably the other half of row 8, which has 2 field(s) where the header has 3: a line "
        "end cut a text without quotes",
    }
    assert table.broken[4].raw == "dish 3 was fine,1,good,more" and table.frame.iloc[3].isna().all()
    assert table.frame["stars"].tolist()[:3] == ["1", "2", "3"] and table.frame["food"][11] == "good"


def test_rows_that_all_end_in_a_separator_keep_their_columns(tmp_path):
    table = read(tmp_path, ["text,stars,food", *(row + "," for row in ROWS)])
    assert table.frame["stars"].tolist() == [str(1 + n % 3) for n in range(12)] and not table.broken
    assert list(table.frame.columns) == ["text", "stars", "food"]
    # A cell in the place of the missing name is no empty end: then nobody knows which column it belongs to.
    with pytest.raises(
        DataError, match=r"12 of 12 rows do not fit its header; row 1 \(line 2\) has 4 field\(s\), the "
    ):
        read(tmp_path, ["text,stars,food", *(f"{n},{row}" for n, row in enumerate(ROWS))])


def test_lines_that_a_stray_quote_swallows_are_broken_rows_each(tmp_path):
    lines = ["text,stars,food", *ROWS]
    lines[3] = '"' + lines[3]
    lines[6] = lines[6].replace("fine", 'fine"')
    table = read(tmp_path, [*lines, *ROWS])
    assert list(table.broken) == [3, 4, 5, 6] and len(table.frame) == 24
    assert table.broken[5].raw == ROWS[4]
    assert table.broken[3].message.startswith("rows 3 to 6 (lines 4 to 7) are one cell, from a quote in line 4 to one")
    assert table.frame["text"][6] == "dish 6 was fine"  # the numbers of later rows stay right


def test_a_quoted_text_of_several_lines_is_one_cell(tmp_path):
    text = '"Good food, good wine,\nand, in the end, 3 stars,\n""never"" again"'
    table = read(tmp_path, ["text,stars,food", *ROWS, f"{text},3,good"])
    assert not table.broken and table.frame["text"][12].endswith('3 stars,\n"never" again')


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"dish,1,good', r"t\.csv, line 14: a quote opens in this row and never closes"),
        ('"dish\nof ""1"" and "2"",1,good', r"t\.csv, lines 14 to 15: a quote opens in line 14, and a quote closes in"),
    ],
)
def test_a_quote_that_hides_where_rows_begin_refuses_the_file(tmp_path, line, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, ["text,stars,food", *ROWS, line])


def test_a_quoted_word_at_the_start_of_a_cell_is_a_broken_row(tmp_path):
    table = read(tmp_path, ["text,stars,food", *ROWS, '"Great" food,1,good', *ROWS])
    assert list(table.broken) == [13] and "write each quote twice" in table.broken[13].message


def test_names_that_occur_twice_are_refused_with_both_places(tmp_path):
    with pytest.raises(DataError, match=r"t\.csv: columns 1 and 3 are both named 'text'"):
        read(tmp_path, ["text,stars,text", *ROWS])


def test_columns_without_a_name_get_one_and_an_empty_end_goes(tmp_path):
    table = read(tmp_path, [",text,stars,,", *(f"{n},dish {n},1,," for n in range(3)), ",,,,", ""])
    assert list(table.frame.columns) == ["Unnamed: 0", "text", "stars"] and len(table.frame) == 3


@pytest.mark.parametrize(
    ("lines", "form"),
    [
        (["text;stars;food", *(row.replace(",", ";") for row in ROWS)], {"separator": ";"}),
        (["Reviews of May", "", "text,stars,food", *ROWS], {"header": 3}),
        (["Export", "text|stars|food", *(row.replace(",", "|") for row in ROWS)], {"separator": "|", "header": 2}),
        (["text, stars, food", *(row.replace(",", ", ") for row in ROWS)], {"skip_blanks": True}),
        (["text,stars,food", *(f"'oh, {row.replace(',', QUOTED_END, 1)}" for row in ROWS)], {"quote": "'"}),
    ],
)  # fmt: skip
def test_another_dialect_is_named_with_the_setting_that_reads_it(tmp_path, lines, form):
    import yaml

    try:
        hint = read(tmp_path, lines).hint
    except DataError as error:
        hint = str(error)
    setting = hint.partition("source.format: ")[2]
    assert yaml.safe_load(setting) == form
    table = read(tmp_path, lines, **form)
    assert list(table.frame.columns) == ["text", "stars", "food"] and len(table.frame) == 12 and not table.broken
    assert table.hint == ""


def test_what_a_file_declares_itself_needs_no_setting(tmp_path):
    lines = ["text;stars;food", *(row.replace(",", ";") for row in ROWS)]
    assert read(tmp_path, ["sep=;", *lines]).frame["food"][1] == "good"
    plain = "\n".join(["text,stars,food", *ROWS])
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        assert read(tmp_path, plain.encode(encoding), "T.CSV").frame["text"][0] == "dish 0 was fine"


def test_other_encodings_are_named_with_their_setting(tmp_path):
    plain = "\n".join(["text,stars,food", *ROWS]).replace("dish", "entrée")
    for content, encoding in ((plain.encode("cp1252"), "cp1252"), (plain.encode("utf-16-le"), "utf-16-le")):
        with pytest.raises(DataError, match=rf'set source\.format: {{encoding: "?{encoding}"?}}'):
            read(tmp_path, content)
        assert read(tmp_path, content, encoding=encoding).frame["text"][0] == "entrée 0 was fine"
    with pytest.raises(DataError, match="there is no encoding 'utf-99'"):
        read(tmp_path, plain.encode(), encoding="utf-99")


def test_a_file_without_a_header_has_numbered_columns(tmp_path):
    assert read(tmp_path, ROWS, header=0).frame["2"].tolist()[:4] == ["1", "2", "3", "1"]


def test_long_cells_and_old_line_ends_are_read(tmp_path):
    long = "soup " * 40_000
    assert read(tmp_path, ["text,stars,food", *ROWS, f"{long},1,bad"]).frame["text"][12] == long
    assert len(read(tmp_path, "\r".join(["text,stars,food", *ROWS]).encode()).frame) == 12


def test_a_header_that_is_repeated_is_no_row(tmp_path):
    table = read(tmp_path, ["text,stars,food", *ROWS, "text,stars,food", *ROWS])
    assert {number: row.message for number, row in table.broken.items()} == {13: "row 13 (line 14) repeats the header"}
    assert len(table.frame) == 25 and table.frame["food"].notna().sum() == 24


def test_a_header_without_a_name_for_the_first_column_is_named_as_such(tmp_path):
    with pytest.raises(DataError, match=r"12 of 12 rows .* Each row begins with a cell for which the header has no"):
        read(tmp_path, ["text,stars,food", *(f"{n},{row}" for n, row in enumerate(ROWS))])


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04" + bytes(99), "an xlsx file or another zip archive"), (b"\x1f\x8b\x08" + bytes(99), "a gzip"),
        (b"PAR1" + bytes(99), "a parquet file"), (b"\xd0\xcf\x11\xe0" + bytes(99), "an old Excel file"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html>\n<table>", "an HTML or XML page"), (b"%PDF-1.7", "a PDF"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_named_as_such(tmp_path, content, kind):
    with pytest.raises(DataError, match=f"t.csv holds {kind}.* unpack it, give it the ending of its kind"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "form", "remedy"),
    [
        ("text,a\ncafé,1".encode(), {"encoding": "ascii"}, "it is UTF-8, so leave out source.format.encoding"),
        ("text,a\ncafé,1".encode(), {"encoding": "undefined"}, "there is no encoding 'undefined'"),
        ("text,a\ncafé,1\n".encode() + "café".encode("cp1252") + b",2\n", {}, "the lines above are UTF-8, so correct"),
        ("text,a\nスープ,1\n".encode("shift_jis"), {}, "name its encoding, which is none that can be guessed"),
        ("text,a\ncafé,1".encode("utf-16")[:-1], {}, "the file may be cut off here"),
        (b"text,a\nsoup,1\n", {"header": 9}, "has 2 lines, and source.format.header names line 9"),
    ],
)
def test_no_advice_turns_texts_into_other_texts(tmp_path, content, form, remedy):
    with pytest.raises(DataError, match=remedy) as caught:
        read(tmp_path, content, **form)
    assert "latin-1" not in str(caught.value)
