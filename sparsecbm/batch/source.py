"""What a batch reads: a file, a folder of files, or a data set of the library `datasets`; always in the same order."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsecbm.base.errors import ConfigError, DataError, unknown
from sparsecbm.batch.readers import AT_ONCE, READERS, Columns, read_batches
from sparsecbm.batch.rows import Row
from sparsecbm.data.sources.hub import is_saved_dataset, load_dataset, load_saved_dataset

HUB = "hub:"  # before the name of a data set


@dataclass(frozen=True)
class Source:
    """An input as it is named.

    Attributes:
        name: path of a file or a folder, or `hub:NAME`
        columns: what is read of a table
        split: of a data set with several splits
    """

    name: str
    columns: Columns
    split: str | None = None

    def rows(self) -> Iterator[Row]:
        """All rows, in the same order each time; memory does not grow with their number.

        Raises:
            ConfigError: a split that does not exist, or none of several.
            DataError: a file cannot be read, has another format or lacks a column; the message names it.
        """
        if self.name.startswith(HUB):
            yield from self._rows_of_dataset(load_dataset(self.name.removeprefix(HUB)))
            return
        path = Path(self.name)
        if is_saved_dataset(path):
            yield from self._rows_of_dataset(load_saved_dataset(path))
            return
        if self.split is not None:
            raise ConfigError(f"--split names a part of a data set, and {path} is none")
        for file in _files(path):
            name = file.name if path.is_file() else file.relative_to(path).as_posix()
            yield from READERS[file.suffix.lower()](file, name, self.columns)

    def survey(self) -> "Survey":
        """Read all rows once: how many there are, and a hash over all that is read of them."""
        count, digest = 0, hashlib.sha256()
        for row in self.rows():
            count += 1
            digest.update(json.dumps(row).encode())
        return Survey(count, digest.hexdigest())

    def _rows_of_dataset(self, splits: dict[str, Any]) -> Iterator[Row]:
        split = self.split
        if split is None:
            if len(splits) > 1:
                raise ConfigError(f"{self.name} has several splits ({', '.join(splits)}); name one by --split")
            split = next(iter(splits))
        if split not in splits:
            raise ConfigError(f"--split: {unknown('split', split, splits)} (in {self.name})")
        dataset = splits[split]
        self.columns.require(list(dataset.column_names), f"{self.name} ({split})")
        tables = dataset.select_columns(self.columns.names).with_format("arrow").iter(AT_ONCE)
        yield from read_batches(tables, split, self.columns)


@dataclass(frozen=True)
class Survey:
    """Number of rows of an input, and sha256 over their files, numbers, ids, texts and reasons."""

    rows: int
    sha256: str


def _files(path: Path) -> list[Path]:
    """The file, or the files of a folder and the folders in it, in the order of their names.

    Names that begin with a dot or an underscore are left out, as of `_SUCCESS` and unfinished files.
    """
    kinds = ", ".join(READERS)
    if path.is_file():
        if path.suffix.lower() not in READERS or path.suffix.lower() == ".txt":
            raise DataError(
                f"{path} ends in {path.suffix or 'nothing'}; a file of texts ends in "
                f"{kinds.replace(', .txt', '')}, and a folder may hold .txt files of one text each"
            )
        return [path]
    if not path.is_dir():
        raise DataError(f"{path} does not exist; name a file, a folder, or a data set as {HUB}NAME")
    files = []
    for file in path.rglob("*"):
        if not file.is_file() or _hidden(file.relative_to(path)):
            continue
        if file.suffix.lower() not in READERS:
            raise DataError(
                f"{file} is none of {kinds}, so its texts would be lost; convert it, or move it out of the folder"
            )
        files.append(file)
    if not files:
        raise DataError(f"{path} holds no file of texts ({kinds})")
    return sorted(files, key=lambda file: file.relative_to(path).as_posix())


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)
