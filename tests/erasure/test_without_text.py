"""Files of users lose the rows of one text, and all other rows keep their bytes."""

import json

import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import TableFormat
from sparsecbm.data.formats.json_rows import read_json
from sparsecbm.erasure.subject import Subject
from sparsecbm.erasure.without_text import holds_text, without_text

RECORDS = ['{"text": "one"}', '{"text": "two"}', '{"text": "three"}']
PRETTY = [json.dumps(json.loads(record), indent=2) for record in RECORDS]


def kept_of(path, content: bytes, text: str, form: TableFormat | None = None) -> bytes | None:
    path.write_bytes(content)
    return without_text(path, form or TableFormat(), Subject((), (text,)))


@pytest.mark.parametrize("between", [",", ", ", " , ", "\n, ", ",\n  ", "\r\n,\r\n"])
@pytest.mark.parametrize("text", ["one", "two", "three"])
def test_a_list_stays_a_list_wherever_its_commas_stand(tmp_path, between, text):
    content = f"[ {between.join(RECORDS)} ]\n".encode()
    kept = kept_of(tmp_path / "a.json", content, text)
    expected = [json.loads(record) for record in RECORDS if text not in record]
    assert json.loads(kept) == expected
    assert kept == f"[ {between.join(record for record in RECORDS if text not in record)} ]\n".encode()
    assert kept_of(tmp_path / "a.json", content, "four") == content


@pytest.mark.parametrize("between", ["\n", ",\n", "\n\n"])
@pytest.mark.parametrize("text", ["one", "two", "three"])
def test_objects_over_several_lines_are_taken_out(tmp_path, between, text):
    content = (between.join(PRETTY) + "\n").encode()
    kept = kept_of(tmp_path / "a.json", content, text)
    assert kept == (between.join(record for record in PRETTY if text not in record) + "\n").encode()
    left = [other for other in ("one", "two", "three") if other != text]
    assert read_json(kept.decode(), "a.json").frame["text"].tolist() == left
    assert kept_of(tmp_path / "a.json", content, "four") == content


def test_the_only_value_leaves_an_empty_list(tmp_path):
    assert kept_of(tmp_path / "a.json", b'[\n{"text": "one"}\n]', "one") == b"[\n]"


@pytest.mark.parametrize("content", [b'[{"text": "one"}, {"text": ]', b'[{"text": "one"}', b'{\n"text": "one",\n}'])
def test_a_file_that_is_no_json_is_named_with_its_line(tmp_path, content):
    with pytest.raises(DataError, match=r"a\.json, line \d is not valid JSON"):
        kept_of(tmp_path / "a.json", content, "two")


@pytest.mark.parametrize(
    ("mark", "encoding", "named"),
    [
        (b"", "utf-8", "utf-8"), (b"", "utf-8", "utf-8-sig"), (b"\xef\xbb\xbf", "utf-8", "utf-8"),
        (b"\xff\xfe", "utf-16-le", "utf-8"), (b"\xfe\xff", "utf-16-be", "utf-16"), (b"", "cp1252", "cp1252"),
    ],
)  # fmt: skip
def test_a_text_is_found_and_taken_out_in_any_encoding(tmp_path, mark, encoding, named):
    form, path = TableFormat(encoding=named), tmp_path / "a.csv"
    assert kept_of(path, mark + "text\nzwölf\ndrei\n".encode(encoding), "zwölf", form) == mark + "text\ndrei\n".encode(
        encoding
    )
    assert holds_text(path, form, Subject((), ("zwölf",))) and not holds_text(path, form, Subject((), ("elf",)))


def test_a_text_is_found_however_json_escapes_its_characters(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "zw\\u00F6lf \\/ elf"}\n')
    assert holds_text(tmp_path / "a.jsonl", TableFormat(), Subject((), ("zwölf / elf",)))


def test_an_encoding_that_does_not_give_the_bytes_back_is_left_alone(tmp_path):
    form, subject, path = TableFormat(encoding="iso2022_jp_2"), Subject((), ("one",)), tmp_path / "a.csv"
    assert kept_of(path, b"text\none\n", "one", form) == b"text\n"
    assert kept_of(path, b"text\none\n\x1b(B", "one", form) is None and holds_text(path, form, subject)
