"""Files of users without the rows of one text. All other rows keep their bytes."""

import json
from pathlib import Path

from sparsecbm.base.params import TableFormat
from sparsecbm.data.formats.decoding import decode, read_bytes
from sparsecbm.data.formats.records import parse_records, split_lines
from sparsecbm.erasure.subject import Subject

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_MARKED = ("utf-8-sig", "utf-16", "utf-32")  # encodings with a byte-order mark


def without_text(path: Path, form: TableFormat, subject: Subject) -> bytes | None:
    """The content of a csv, tsv, json or jsonl file without the records of a text.

    Args:
        form: how the file is written; of json files the encoding counts

    Returns:
        None if the file is of another kind, or in an encoding that its characters do not give back to the byte

    Raises:
        DataError: the file cannot be read as what its name says.
    """
    suffix = path.suffix.lower()
    if suffix not in (*_SEPARATORS, ".json", ".jsonl"):
        return None
    content = read_bytes(path)
    text = decode(content, form.encoding, str(path))
    encoding = next((name for name in (form.encoding, *_MARKED) if text.encode(name, "replace") == content), None)
    if encoding is None:
        return None
    if suffix in _SEPARATORS:
        form = form.model_copy(update={"separator": form.separator or _SEPARATORS[suffix]})
        kept = _without_records(text, form, subject, str(path))
    elif text.lstrip().startswith("["):
        kept = _without_items(text, subject)
    else:
        kept = _without_lines(text, subject)
    return kept.encode(encoding)


def _without_records(text: str, form: TableFormat, subject: Subject, where: str) -> str:
    """A csv text without the lines of the records that hold the text in a cell."""
    skipped = max(form.header - 1, 0)
    dropped: set[int] = set()
    for record in parse_records(split_lines(text)[skipped:], form, skipped + 1, where):
        if any(subject.is_text(cell) for cell in record.fields):
            dropped |= set(range(record.start, record.end + 1))
    lines = text.split("\n") if "\n" in text else text.split("\r")
    return ("\n" if "\n" in text else "\r").join(line for n, line in enumerate(lines, start=1) if n not in dropped)


def _without_lines(text: str, subject: Subject) -> str:
    """JSON lines without those of the text; other lines, such as those of one indented object, stay."""

    def is_about(line: str) -> bool:
        try:
            record = json.loads(line)
        except ValueError:
            return False
        return isinstance(record, dict) and subject.matches(record)

    return "\n".join(line for line in text.split("\n") if not is_about(line))


def _without_items(text: str, subject: Subject) -> str:
    """A JSON list without the items of the text."""
    decoder, items, position = json.JSONDecoder(), [], text.index("[") + 1
    head, start = text[:position], position
    while True:
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        if position >= len(text) or text[position] == "]":
            break
        value, end = decoder.raw_decode(text, position)
        if not (isinstance(value, dict) and subject.matches(value)):
            items.append(text[start:end].lstrip(",") if items else text[position:end])
        position = start = end
    return head + ",".join(items) + text[position:]
