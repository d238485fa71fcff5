"""From the bytes of a file to its characters."""

import codecs
import re
from pathlib import Path

from sparsecbm.base.errors import DataError

# A byte-order mark says which encoding a file has. The longer marks begin like the shorter ones.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def encoding_of(head: bytes, default: str) -> tuple[str, int]:
    """The encoding that a byte-order mark at the start of a file says, and the length of the mark.

    Args:
        default: the encoding of a file without a mark, whose length is then 0
    """
    return next(((name, len(mark)) for mark, name in _MARKS if head.startswith(mark)), (default, 0))


def read_bytes(path: Path) -> bytes:
    """The content of a file or pipe.

    Raises:
        DataError: it is missing, a folder or a device, or unreadable.
    """
    path = Path(path)
    try:
        if path.exists() and not (path.is_file() or path.is_fifo()):
            raise DataError(f"{path} is {'a folder' if path.is_dir() else 'a device'}; name a file")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the name
        raise DataError(f"{str(path)!r} cannot be the name of a file: {error}") from None


# What files begin with that are no texts, whatever their names say.
_KINDS = (
    (b"PK\x03\x04", "an xlsx file or another zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"7z\xbc\xaf'\x1c", "a 7z archive"),
    (b"(\xb5/\xfd", "a zstd archive"),
    (b"PAR1", "a parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file (xls)"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3\0", "an SQLite database"),
)
_PAGE = re.compile(rb"\s*<(!doctype html|html|table|\?xml)\b", re.IGNORECASE)


def require_text(content: bytes, where: str) -> None:
    """Insist that a file's bytes are no archive, database or page.

    Raises:
        DataError: they are; the message names the kind.
    """
    kind = next((name for mark, name in _KINDS if content.startswith(mark)), None)
    if kind is None and _PAGE.match(content.removeprefix(codecs.BOM_UTF8)):
        kind = "an HTML or XML page"
    if kind is not None:
        raise DataError(
            f"{where} holds {kind}, not what its name says; unpack it, give it the ending of its kind, or save it as "
            "UTF-8 csv"
        )


def decode(content: bytes, encoding: str, where: str) -> str:
    """The characters of a file; a byte-order mark at its start decides the encoding, and is left out.

    Raises:
        DataError: the bytes are not in this encoding; the message says what they look like.
    """
    actual, length = encoding_of(content, encoding)
    try:
        return content[length:].decode(actual)
    except UnicodeDecodeError as error:
        error.start, error.end = error.start + length, error.end + length
        line = content.count(b"\n", 0, error.start) + 1
        name = "UTF-8" if actual.startswith("utf-8") else actual
        raise DataError(
            f"{where} is not {name} (byte {error.start}, line {line}: {error.reason}); {_remedy(content, name, error)}"
        ) from None
    except (LookupError, UnicodeError):  # encodings that are none of characters raise either
        raise DataError(f"{where}: there is no encoding {encoding!r}; common ones are utf-8, cp1252, utf-16") from None


def looks_utf16(content: bytes) -> str | None:
    """`utf-16-le` or `utf-16-be` if every other byte is mostly NUL; else None."""
    start = content[:2000]
    if len(start) < 4:
        return None
    even, odd = start[::2].count(0) / len(start[::2]), start[1::2].count(0) / len(start[1::2])
    return "utf-16-le" if odd > 0.5 > even else "utf-16-be" if even > 0.5 > odd else None


def _remedy(content: bytes, name: str, error: UnicodeDecodeError) -> str:
    if error.end >= len(content) and ("truncated" in error.reason or "end of data" in error.reason):
        return "the file may be cut off here"
    if name != "UTF-8" and _is(content, "utf-8"):
        return "it is UTF-8, so leave out source.format.encoding"
    if name == "UTF-8" and not content[: error.start].isascii():
        return "the lines above are UTF-8, so correct this one, or save the file once more as UTF-8"
    guess = looks_utf16(content) or ("cp1252" if _is(content, "cp1252") else None)
    if guess is None:
        return (
            "save it as UTF-8, or name its encoding, which is none that can be guessed, as in "
            'source.format: {encoding: "shift_jis"}'
        )
    looks = "Windows-1252" if guess == "cp1252" else guess
    return f'save it as UTF-8, or, since it looks like {looks}, set source.format: {{encoding: "{guess}"}}'


def _is(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
