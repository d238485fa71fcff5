"""From the bytes of a file to its characters."""

import codecs
from pathlib import Path

from sparsecbm.base.errors import DataError

# A byte-order mark says which encoding a file has. The longer marks begin like the shorter ones.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


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


def decode(content: bytes, encoding: str, where: str) -> str:
    """The characters of a file; a byte-order mark at its start decides the encoding, and is left out.

    Raises:
        DataError: the bytes are not in this encoding; the message says what they look like.
    """
    marked = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    try:
        return content.decode(marked or encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        name = "UTF-8" if (marked or encoding).startswith("utf-8") else marked or encoding
        raise DataError(
            f"{where} is not {name} (byte {error.start}, line {line}: {error.reason}); {_remedy(content)}"
        ) from None
    except LookupError:
        raise DataError(f"{where}: there is no encoding {encoding!r}; common ones are utf-8, cp1252, utf-16") from None


def looks_utf16(content: bytes) -> str | None:
    """`utf-16-le` or `utf-16-be` if every other byte is mostly NUL; else None."""
    start = content[:2000]
    if len(start) < 4:
        return None
    even, odd = start[::2].count(0) / len(start[::2]), start[1::2].count(0) / len(start[1::2])
    return "utf-16-le" if odd > 0.5 > even else "utf-16-be" if even > 0.5 > odd else None


def _remedy(content: bytes) -> str:
    guess = looks_utf16(content)
    if guess is None:
        try:
            content.decode("cp1252")
            guess = "cp1252"
        except UnicodeDecodeError:
            guess = "latin-1"
    name = {"cp1252": "Windows-1252", "latin-1": "no common encoding"}.get(guess, guess)
    return f'save it as UTF-8, or, since it looks like {name}, set source.format: {{encoding: "{guess}"}}'
