"""One csv, tsv, jsonl or parquet file with a column mapping."""

from pathlib import Path

from sparsecbm.base.params import TableSource
from sparsecbm.data.source_table import SourceTable, canonical
from sparsecbm.data.sources.mapping import map_rows, vocabulary
from sparsecbm.data.sources.readers import file_entry, read_rows


def load_table(source: TableSource, root: Path) -> SourceTable:
    """Load the file. Rows have a split only if the mapping names a column for it."""
    path = Path(root) / source.path
    table = read_rows(path)
    frame = map_rows(table, source.columns, path.name)
    concept_set = vocabulary(frame, source.columns, path.name)
    training = f"the rows of {path.name} whose {source.columns.split!r} is train"
    files = (file_entry(path, len(table)),)
    return SourceTable(canonical(frame, concept_set), concept_set, source.name, source.licence, files, training)
