"""Generated tables with every defect: each row is read as it was written or reported, or the table is refused."""

import csv
import io
import json
import random

import pandas as pd
import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import TableFormat
from sparsecbm.cli.text_files import load_texts
from sparsecbm.data.formats.delimited import read_delimited
from sparsecbm.data.formats.reader import read_table

WORDS = (
    *("the", "soup", "waiter", "bread", "was", "cold", "kind", "rich", "stale"),
    *("and,", "but;", "so", "'quoted'", "7", "café", "slow"),
)
TABLES, MUTATIONS = 40, 100


class Table:
    """Random rows of distinct texts, with categories around them, and the text of the file that holds them."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.separator = self.draw.choice(",;\t")
        categories = self.draw.randint(1, 4)
        self.text_at = self.draw.randint(0, categories)
        self.names = [f"c{index}" for index in range(categories)]
        self.names.insert(self.text_at, "text")
        self.rows = [self._row(number) for number in range(self.draw.randint(12, 40))]
        file = io.StringIO()
        writer = csv.writer(file, delimiter=self.separator, lineterminator="\n")
        writer.writerows([self.names, *self.rows])
        # The lines of each record; a quoted text may have several.
        self.records = [self._written([row]) for row in [self.names, *self.rows]]

    def _row(self, number: int) -> list[str]:
        words = [self.draw.choice(WORDS) for _ in range(self.draw.randint(4, 12))]
        text = " ".join([f"text{number:03d}x", *words])
        if self.draw.random() < 0.15:
            text = text.replace(" ", "\n", 1)
        row = [self.draw.choice(("1", "2", "3", "low", "high")) for _ in range(len(self.names) - 1)]
        return [*row[: self.text_at], text, *row[self.text_at :]]

    def _written(self, rows: list[list[str]]) -> str:
        file = io.StringIO()
        csv.writer(file, delimiter=self.separator, lineterminator="\n").writerows(rows)
        return file.getvalue()

    def plain(self) -> int:
        """The number of a record, from 1, that has neither quotes nor line ends."""
        numbers = [n for n, record in enumerate(self.records) if n and '"' not in record]
        return self.draw.choice(numbers)

    def change(self, number: int, function) -> None:
        """Replace a record by what a function of its fields gives, written without quotes."""
        fields = self.records[number].rstrip("\n").split(self.separator)
        self.records[number] = self.separator.join(function(fields)) + "\n"


def one_more_field(table: Table) -> None:
    table.change(table.plain(), lambda fields: [*fields[: table.text_at], "more", *fields[table.text_at :]])


def fewer_fields(table: Table) -> None:
    table.change(table.plain(), lambda fields: fields[: table.draw.randint(1, len(fields) - 1)])


def text_over_two_lines(table: Table) -> None:
    def cut(fields: list[str]) -> list[str]:
        words = fields[table.text_at].split(" ")
        at = table.draw.randint(1, len(words) - 1)
        return [
            " ".join(words[:at]) + "\n" + " ".join(words[at:]) if n == table.text_at else field
            for n, field in enumerate(fields)
        ]

    table.change(table.plain(), cut)


def _stray_quote(table: Table, close: str) -> None:
    first, last = sorted((table.plain(), table.plain()))
    at = table.text_at

    def opened(fields: list[str]) -> list[str]:
        return [*fields[:at], '"' + fields[at], *fields[at + 1 :]]

    def closed(fields: list[str]) -> list[str]:
        text = fields[at] + '"' if close == "end" else fields[at].replace(" ", ' "', 1)
        return [*fields[:at], text, *fields[at + 1 :]]

    if first < last:
        table.change(first, opened)
        table.change(last, closed)


def quote_closed_at_the_end_of_a_later_cell(table: Table) -> None:
    _stray_quote(table, "end")


def quote_closed_within_a_later_cell(table: Table) -> None:
    _stray_quote(table, "within")


def quote_never_closed(table: Table) -> None:
    table.change(table.plain(), lambda fields: ['"' + fields[0], *fields[1:]])


def quoted_word_at_the_start(table: Table) -> None:
    def quote(fields: list[str]) -> list[str]:
        words = fields[table.text_at].split(" ")
        words[0] = f'"{words[0]}"'
        return [*fields[: table.text_at], " ".join(words), *fields[table.text_at + 1 :]]

    table.change(table.plain(), quote)


def separator_at_every_end(table: Table) -> None:
    table.records[1:] = [record.rstrip("\n") + table.separator + "\n" for record in table.records[1:]]


def cut_off(table: Table) -> None:
    last = len(table.records) - 1
    table.records[last] = table.records[last].split(table.separator)[0]


def nothing(table: Table) -> None:
    """The control: a table without a defect."""


def blank_lines(table: Table) -> None:
    table.records[-1] += "\n \n" + table.separator * (len(table.names) - 1) + "\n"


def windows_line_ends(table: Table) -> None:
    table.records = [record.replace("\n", "\r\n") for record in table.records]
    table.rows = [[cell.replace("\n", "\r\n") for cell in row] for row in table.rows]


def lone_return_in_a_text(table: Table) -> None:
    number = table.plain()
    table.records[number] = table.records[number].replace(" ", "\r", 1)
    table.rows[number - 1] = [cell.replace(" ", "\r", 1) for cell in table.rows[number - 1]]


# Whether a table with the defect can still be read to the last cell.
DEFECTS = {
    nothing: True, windows_line_ends: True, separator_at_every_end: True, blank_lines: True,
    lone_return_in_a_text: True,
    one_more_field: False, fewer_fields: False, text_over_two_lines: False, quote_never_closed: False,
    quote_closed_at_the_end_of_a_later_cell: False, quote_closed_within_a_later_cell: False,
    quoted_word_at_the_start: False, cut_off: False,
}  # fmt: skip


@pytest.mark.parametrize(("defect", "harmless"), DEFECTS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_cells_in_are_cells_out(defect, harmless):
    read, reported, refused = 0, 0, 0
    for seed in range(TABLES):
        table = Table(seed)
        defect(table)
        content = "".join(table.records)
        try:
            result = read_delimited(content, TableFormat(separator=table.separator), "t.csv")
        except DataError:
            refused += 1
            assert not harmless, seed
            continue
        frame = result.frame
        assert list(frame.columns) == table.names
        rows = [tuple(row) for row in frame.itertuples(index=False, name=None)]
        good = [row for number, row in enumerate(rows, start=1) if number not in result.broken]
        originals = [tuple(row) for row in table.rows]
        assert set(good) <= set(originals), (seed, set(good) - set(originals))
        assert len(set(good)) == len(good)
        raw = "\n".join(row.raw for row in result.broken.values()).replace('"', "")
        for original, record in zip(originals, table.records[1:], strict=True):
            if original not in good:
                assert all(line.replace('"', "") in raw for line in record.splitlines()), (seed, record)
        assert all(f"row {number}" in row.message or "rows " in row.message for number, row in result.broken.items())
        read, reported = read + len(good), reported + len(result.broken)
        if harmless:
            assert len(good) == len(originals), seed
    assert harmless == (reported + refused == 0)
    assert not harmless or read > 12 * TABLES


def valid_files() -> dict[str, bytes]:
    """A small file of each format."""
    rows = [{"text": f"dish {n}, was \u00e9 fine", "stars": n % 3, "food": "good"} for n in range(20)]
    frame = pd.DataFrame(rows)
    parquet = io.BytesIO()
    frame.to_parquet(parquet)
    return {
        ".csv": frame.to_csv(index=False).encode(),
        ".tsv": frame.to_csv(index=False, sep="\t").encode("utf-8-sig"),
        ".jsonl": "\n".join(map(json.dumps, rows)).encode(),
        ".json": json.dumps(rows, indent=1).encode(),
        ".parquet": parquet.getvalue(),
    }


def mutated(content: bytes, draw: random.Random) -> bytes:
    """The content with a few bytes changed, cut out, doubled, or with bytes that often do harm put in."""
    harmful = [b'"', b"\0", b"\r", b"\n", b",", b"\xff\xfe", b"{" * 5_000, b"[" * 5_000, b"9" * 5_000, b"\\ud800"]
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(content) + 1)
        end = min(len(content), start + draw.choice((0, 1, 30)))
        middle = draw.choice((b"", content[start:end] * 2, bytes([draw.randrange(256)]), draw.choice(harmful)))
        content = content[:start] + middle + content[end:]
    return content


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_a_damaged_file_is_read_or_refused_with_one_message(suffix, tmp_path):
    draw, outcomes = random.Random(suffix), {"read": 0, "refused": 0}
    content = valid_files()[suffix]
    path = tmp_path / f"t{suffix}"
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(content, draw))
        try:
            table = read_table(path)
            load_texts(path)
        except DataError as error:
            outcomes["refused"] += 1
            assert "t" + suffix in str(error) and len(str(error)) < 3_000
        else:
            outcomes["read"] += 1
            assert len(table.frame)
    assert min(outcomes.values()) > 0, outcomes
