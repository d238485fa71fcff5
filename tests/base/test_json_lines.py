"""Journals of JSON lines: what is read back, what a crash leaves, and lines that nobody of us wrote."""

import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.base.json_lines import append_json_lines, read_json_lines


def test_records_come_back_in_order_and_a_cut_line_does_not_count(tmp_path):
    path = tmp_path / "journal.jsonl"
    assert read_json_lines(path) == []
    append_json_lines(path, [{"a": 1}, {"a": "ü"}])
    with open(path, "ab") as file:
        file.write(b'{"a": 3')
    assert read_json_lines(path) == [{"a": 1}, {"a": "ü"}]
    append_json_lines(path, [{"a": 4}])
    assert read_json_lines(path) == [{"a": 1}, {"a": "ü"}, {"a": 4}]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[1]", "line 2 is no JSON object"),
        (b"{", "line 2 is not valid JSON"),
        (b'{"a": "\xff"}', "line 2 is not UTF-8"),
        (b'{"by": "Ann", "by": "Bea"}', "line 2 names .*by"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path, line, message):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b"\n")
    with pytest.raises(DataError, match=message):
        read_json_lines(path)
