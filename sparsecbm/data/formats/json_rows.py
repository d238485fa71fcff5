"""Rows of JSON: one object a line, a list of objects, or objects over several lines."""

import json
import re
from collections.abc import Iterator

import pandas as pd

from sparsecbm.base.errors import DataError
from sparsecbm.base.unique_keys import RepeatedKeyError, object_of
from sparsecbm.data.formats.file_table import FileTable

# JSON can hold half of a surrogate pair. It has no UTF-8 form, so no table could store it.
SURROGATE = re.compile(r"[\ud800-\udfff]")
_NAMES = {type(None): "null", str: "a text", list: "a list", bool: "a truth value"}
_WHITE = " \t\r\n"
_DECODER_FAULTS = (json.JSONDecodeError, RecursionError, ValueError)


def parse_json(text: str, where: str) -> object:
    """The value of a JSON text.

    Raises:
        DataError: it is not valid JSON, names a key twice, is nested too deeply, or holds a number that is too long.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except _DECODER_FAULTS as error:
        raise _fault(error, text, where) from None


def json_values(text: str, where: str) -> Iterator[tuple[str, object]]:
    """The values of a JSON text in order, each with where it is: one a line, or the items of one list.

    Raises:
        DataError: as `parse_json`; a value that goes over several lines is no error.
    """
    if text.lstrip(_WHITE).startswith("["):
        values = _parse_list(text, where)
        yield from ((f"{where}, item {number}", value) for number, value in enumerate(values, start=1))
        return
    # JSON escapes line ends inside texts, so a plain split is right. str.splitlines would also cut at U+2028.
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip(_WHITE)), 0)
    if lines[first].strip(_WHITE) == "{":
        yield from _pretty_values(text, where)
        return
    for number, line in enumerate(lines, start=1):
        if line.strip(_WHITE):
            yield f"{where}, line {number}", parse_json(line, f"{where}, line {number}")


def read_json(text: str, where: str) -> FileTable:
    """The cells of a JSON text whose values are objects.

    Raises:
        DataError: as `json_values`, or a value is no object.
    """
    rows = []
    for location, row in json_values(text, where):
        if not isinstance(row, dict):
            listed = location.startswith(f"{where}, item")
            raise DataError(
                f"{where}, line 1 holds a list; each line must be an object, or each item of the list"
                if listed
                else f"{location} holds {_NAMES.get(type(row), 'a number')}; each line must be an object"
            )
        rows.append(row)
    if len(rows) == 1 and rows[0] and all(isinstance(cell, dict | list) for cell in rows[0].values()):
        raise DataError(
            f"{where} holds one object of whole columns; write one object for each row, in pandas by "
            'to_json(orient="records", lines=True)'
        )
    columns = list(dict.fromkeys(key for row in rows for key in row))
    # dtype=object keeps 4, 4.0 and '4' different.
    frame = pd.DataFrame({key: pd.Series([row.get(key) for row in rows], dtype=object) for key in columns})
    return FileTable(frame)


def _parse_list(text: str, where: str) -> list[object]:
    try:
        values = json.loads(text, object_pairs_hook=_object)
    except _DECODER_FAULTS as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            raise DataError(
                f"{where} holds more than one list, or something after a list (line {error.lineno}); each line must be "
                "an object with the names of its columns, or the file one list of such objects"
            ) from None
        raise _fault(error, text, where) from None
    assert isinstance(values, list)
    return values


def _pretty_values(text: str, where: str) -> Iterator[tuple[str, object]]:
    """Values that go over several lines, one after the other; a comma may stand between them."""
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    position = 0
    while True:
        while position < len(text) and text[position] in _WHITE + ",":
            position += 1
        if position == len(text):
            return
        line = text.count("\n", 0, position) + 1
        try:
            value, position = decoder.raw_decode(text, position)
        except _DECODER_FAULTS as error:
            raise _fault(error, text, f"{where}, line {line}") from None
        yield f"{where}, line {line}", value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return object_of((SURROGATE.sub("\ufffd", key), value) for key, value in pairs)


def _fault(error: Exception, text: str, where: str) -> DataError:
    if isinstance(error, RepeatedKeyError):
        return DataError(f"{where} {error}")
    if isinstance(error, RecursionError):
        return DataError(f"{where} is not valid JSON: it is nested too deeply")
    if isinstance(error, json.JSONDecodeError):
        ends = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        hint = "; the file may be cut off here" if ends else ""
        return DataError(f"{where} is not valid JSON: {error}{hint}")
    return DataError(f"{where} is not valid JSON: it holds a number with too many digits")
