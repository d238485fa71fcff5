"""One csv, tsv, json, jsonl, parquet or xlsx file with a column mapping."""

from pathlib import Path

from sparsecbm.base.params import TableSource
from sparsecbm.data.formats.reader import read_table
from sparsecbm.data.source_table import SourceTable, canonical
from sparsecbm.data.sources.mapping import map_rows
from sparsecbm.data.sources.readers import file_entry
from sparsecbm.data.sources.vocabulary import find_vocabulary


def load_table(source: TableSource, root: Path) -> SourceTable:
    """Load the file. Rows have a split only if the mapping names a column for it."""
    path = Path(root) / source.path
    table = read_table(path, source.format)
    frame = map_rows(table, source.columns, path.name)
    concept_set, faults = find_vocabulary(frame, source.columns, path.name)
    training = (
        f"the rows of {path.name} whose {source.columns.split!r} is train, or is named so by source.columns.splits"
    )
    files = (file_entry(path, len(table.frame)),)
    rows = canonical(frame, concept_set)
    return SourceTable(rows, concept_set, source.name, source.licence, files, training, faults, cells=table.frame)
