"""Any data set that the `datasets` library can load, with a column mapping."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from sparsecbm.base.errors import DataError, unknown
from sparsecbm.base.params import HubSource
from sparsecbm.data.source_table import SourceTable, canonical, require_columns
from sparsecbm.data.sources.mapping import map_rows, mapped_columns
from sparsecbm.data.sources.vocabulary import find_vocabulary


def load_dataset(name: str, config: str | None = None, revision: str | None = None) -> dict:
    """The splits of a public data set, by name.

    Raises:
        DataError: the library is not installed, or it could not load the data set.
    """
    with _explained(f"could not load the data set {name!r}", "check its name and the network"):
        import datasets  # large, and needed by this source alone

        return dict(datasets.load_dataset(name, config, revision=revision))


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder holds what the library's `save_to_disk` writes: a data set, or its splits."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def load_saved_dataset(path: Path) -> dict:
    """The splits of a data set in a folder, by name; one without splits is named `train`. It stays on disk.

    Raises:
        DataError: the library is not installed, or the folder is damaged.
    """
    with _explained(f"{path} is not a data set that can be read", "save it anew by `save_to_disk`"):
        import datasets

        loaded = datasets.load_from_disk(str(path))
        return dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}


@contextmanager
def _explained(fault: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise DataError("this source needs the library `datasets`: pip install 'sparsecbm[hub]'") from None
    except Exception as error:  # the library raises many kinds
        first = str(error).strip().split("\n")[0]
        raise DataError(f"{fault}: {first}; {remedy}") from None


def load_hub(source: HubSource, root: Path) -> SourceTable:
    """Load a data set. If the mapping renames splits, only these are loaded.

    Raises:
        DataError: the data set cannot be loaded, or it lacks a split or column.
    """
    loaded = load_dataset(source.dataset, source.config, source.revision)
    split_names = source.columns.splits or {name: name for name in loaded}
    frames, files, cells = [], [], []
    for name, split in split_names.items():
        if name not in loaded:
            raise DataError(f"source.columns.splits: {unknown('split', name, loaded)} (in {source.dataset})")
        file = f"{source.dataset}/{name}"
        dataset = loaded[name]
        table = _table(dataset, mapped_columns(source.columns), file)
        if table.empty:
            raise DataError(f"the split {name!r} of {source.dataset} has no rows")
        cells.append(_table(dataset, [name for name in dataset.column_names if _is_plain(dataset, name)], file))
        frame = map_rows(table, source.columns, file)
        # One split of the data set may hold several splits; then the mapped column decides.
        frames.append(frame if source.columns.split else frame.assign(split=split))
        digest = hashlib.sha256(table.to_json(orient="records", lines=True).encode("utf-8")).hexdigest()
        files.append({"name": file, "sha256": digest, "rows": len(table)})
    frame = pd.concat(frames, ignore_index=True)
    concept_set, faults = find_vocabulary(frame, source.columns, source.dataset)
    training = f"the split `train` of {source.dataset} (source.columns.splits can rename one)"
    rows = canonical(frame, concept_set)
    return SourceTable(
        rows, concept_set, source.name, source.licence, tuple(files), training, faults,
        cells=pd.concat(cells, ignore_index=True),
    )  # fmt: skip


def _is_plain(dataset: Any, column: str) -> bool:
    """Whether a column holds numbers or words, and no lists, pictures or sounds."""
    return getattr(dataset.features[column], "dtype", "object") not in ("object", "dict", "list")


def _table(dataset: Any, columns: list[str], file: str) -> pd.DataFrame:
    """The mapped columns of one split. Class numbers become class names."""
    require_columns(dataset.column_names, columns, file, "Correct the names under source.columns.")
    table = {}
    for column in columns:
        cells = dataset[column]
        names = getattr(dataset.features[column], "names", None)
        if names:
            # The library writes a missing class as -1.
            cells = [names[cell] if cell is not None and cell >= 0 else None for cell in cells]
        table[column] = pd.Series(list(cells), dtype=object)
    return pd.DataFrame(table)
