"""The text that is to be forgotten, and how it is recognised in rows, records and files."""

import html
import json
import mmap
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from sparsecbm.annotate.labels import text_key
from sparsecbm.base.errors import DataError
from sparsecbm.base.files import read_parquet
from sparsecbm.model.checksums import text_checksum

EXCERPT = 60  # characters from which on the beginning of the text counts as the text
_PROBE = 80  # characters of the text that files are searched for
_TAG = re.compile(r"<[^>]*>")
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True)
class Subject:
    """A text, with the ids of all rows that hold it.

    Attributes:
        ids: of the rows; none if no table of the workspace holds the text
        texts: its spellings, which differ in blanks at both ends and in Unicode forms only; at least one
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def key(self) -> str:
        """What labels of people and machines know the text by."""
        return text_key(self.texts[0])

    @cached_property
    def checksums(self) -> frozenset[str]:
        """What patches and stored corrections know the text by."""
        return frozenset(text_checksum(text) for text in (*self.texts, *(text.strip() for text in self.texts)))

    def is_text(self, cell: object) -> bool:
        """Whether a cell is this text, or a beginning of it that is long enough to tell."""
        if not isinstance(cell, str) or not cell:
            return False
        plain, whole = _plain(cell), _plain(self.texts[0])
        beginning = plain.rstrip("…").rstrip()
        return plain == whole or (len(beginning) >= EXCERPT and whole.startswith(beginning))

    def same(self, cell: object) -> bool:
        """Whether a cell is the whole text."""
        return isinstance(cell, str) and _plain(cell) == _plain(self.texts[0])

    def matches(self, record: Mapping) -> bool:
        """Whether a record is about this text: by its id, its key, or a cell."""
        return any(self._matches_cell(str(name), cell) for name, cell in record.items())

    def rows(self, frame: pd.DataFrame) -> np.ndarray:
        """Which rows of a table are about this text, [rows], bool."""
        matches = np.zeros(len(frame), dtype=bool)
        for name, column in frame.items():
            if not pd.api.types.is_numeric_dtype(column):
                found = [cell for cell in column.dropna().unique().tolist() if self._matches_cell(str(name), cell)]
                matches |= column.isin(found).to_numpy()
        return matches

    def _matches_cell(self, name: str, cell: object) -> bool:
        if name == "id":
            return cell in self.ids
        return cell == self.key if name == "key" else self.is_text(cell)

    def is_in(self, path: Path) -> bool:
        """Whether a file holds the text, whatever its format: as a row, as bytes, or as the words of a page.

        Compressed files other than parquet are not opened.
        """
        if not path.is_file() or path.is_symlink() or path.stat().st_size == 0:
            return False
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content[:4] != b"PAR1":
                if any(content.find(form) >= 0 for form in self._forms):
                    return True
                return content[:200].lstrip().lower().startswith(b"<!doctype html") and self._is_on_page(content[:])
        try:
            return bool(self.rows(read_parquet(path)).any())
        except DataError:
            return False

    @cached_property
    def _forms(self) -> tuple[bytes, ...]:
        """Bytes that files hold if they hold the text: as it is, in JSON, in csv; and what it is known by."""
        forms = {self.key, *self.checksums}
        for text in self.texts:
            probe = text.strip()[:_PROBE]
            forms |= {probe, probe.replace('"', '""')}
            forms |= {json.dumps(probe, ensure_ascii=ascii)[1:-1] for ascii in (True, False)}
        return tuple(form.encode("utf-8", "replace") for form in sorted(forms))

    def _is_on_page(self, content: bytes) -> bool:
        page = html.unescape(_TAG.sub("", content.decode("utf-8", "replace")))
        return any(_BLANKS.sub("", text.strip()[:_PROBE]) in _BLANKS.sub("", page) for text in self.texts)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()
