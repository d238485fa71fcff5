"""Files of users without the rows of one text. All other rows keep their bytes."""

import json
from pathlib import Path

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import TableFormat
from sparsecbm.data.formats.decoding import decode, encoding_of, read_bytes
from sparsecbm.data.formats.records import parse_records, split_lines
from sparsecbm.erasure.subject import Subject

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON = (".json", ".jsonl")
_BETWEEN = " \t\r\n,"  # values of JSON


def without_text(path: Path, form: TableFormat, subject: Subject) -> bytes | None:
    """The content of a csv, tsv, json or jsonl file without the records of a text.

    Args:
        form: how the file is written; of json files the encoding counts

    Returns:
        None if rows cannot be taken out of the file (see `is_editable`)

    Raises:
        DataError: the file cannot be read as what its name says.
    """
    if not is_editable(path, form):
        return None
    content = read_bytes(path)
    text = decode(content, form.encoding, str(path))
    encoding, length = _encoding(content, form)
    suffix = path.suffix.lower()
    if suffix in _SEPARATORS:
        form = form.model_copy(update={"separator": form.separator or _SEPARATORS[suffix]})
        kept = _without_records(text, form, subject, str(path))
    elif text.lstrip().startswith("[") or text.lstrip().partition("\n")[0].strip() == "{":
        kept = _without_values(text, subject, str(path))
    else:
        kept = _without_lines(text, subject)
    return content[:length] + kept.encode(encoding)


def is_editable(path: Path, form: TableFormat) -> bool:
    """Whether rows can be taken out of a file.

    A spreadsheet keeps more than rows, and some encodings do not give the bytes of the other rows back.
    """
    if path.suffix.lower() not in (*_SEPARATORS, *_JSON):
        return False
    content = read_bytes(path)
    encoding, length = _encoding(content, form)
    try:
        return decode(content, form.encoding, str(path)).encode(encoding, "replace") == content[length:]
    except DataError:
        return False


def holds_text(path: Path, form: TableFormat, subject: Subject) -> bool:
    """Whether a file of the source holds the text, whatever its encoding is and however its JSON escapes characters."""
    if subject.is_in(path) or path.suffix.lower() not in (*_SEPARATORS, *_JSON):
        return subject.is_in(path)
    try:
        kept = without_text(path, form, subject)
        if kept is not None:
            return kept != read_bytes(path)
        text = decode(read_bytes(path), form.encoding, str(path))
    except DataError:  # it is no table
        return False
    return any(spelling.strip() in text for spelling in subject.texts)


def _encoding(content: bytes, form: TableFormat) -> tuple[str, int]:
    """The encoding of a file after its byte-order mark, and the length of the mark."""
    return encoding_of(content, "utf-8" if form.encoding == "utf-8-sig" else form.encoding)


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
    """JSON lines without those of the text; other lines stay."""

    def is_about(line: str) -> bool:
        try:
            record = json.loads(line)
        except ValueError:
            return False
        return isinstance(record, dict) and subject.matches(record)

    return "\n".join(line for line in text.split("\n") if not is_about(line))


def _without_values(text: str, subject: Subject, where: str) -> str:
    """A JSON list, or objects over several lines, without the values of the text.

    What stands before a value goes with it, so commas stay between values. The first value that is kept gets what stood
    before the first one.
    """
    decoder, is_list, stop = json.JSONDecoder(), text.lstrip().startswith("["), len(text.rstrip())
    position = text.index("[") + 1 if is_list else 0
    if is_list and text[stop - 1] == "]":
        stop -= 1
    parts, before_first = [text[:position]], None
    while True:
        start = position
        while start < stop and text[start] in _BETWEEN:
            start += 1
        if start == stop and (not is_list or text[stop : stop + 1] == "]"):
            return "".join([*parts, text[position:]])
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            line = text.count("\n", 0, start) + 1
            raise DataError(f"{where}, line {line} is not valid JSON; correct it, then repeat the command") from None
        before = text[position:start]
        before_first = before if before_first is None else before_first
        if not (isinstance(value, dict) and subject.matches(value)):
            parts += [before if len(parts) > 1 else before_first, text[start:end]]
        position = end
