"""Parquet files, by the types that Arrow gives their cells."""

from pathlib import Path

import pandas as pd

from sparsecbm.base.errors import DataError
from sparsecbm.data.formats.decoding import read_bytes
from sparsecbm.data.formats.file_table import FileTable, require_distinct


def read_parquet_cells(path: Path) -> FileTable:
    """The cells of a parquet file as Python values, under the file's own names of columns.

    The index that pandas wrote is a column like others. Whole numbers stay exact where cells are empty.

    Raises:
        DataError: the file is missing or unreadable, or a name occurs twice.
    """
    path = Path(path)
    content = read_bytes(path)
    import pyarrow
    import pyarrow.parquet

    try:
        # A ParquetFile of bytes, since a path would give the names of its folders as columns.
        with pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content)) as file:
            names = list(file.schema_arrow.names)
            require_distinct(names, path.name)
            table = file.read()
            columns = {name: table.column(index).to_pylist() for index, name in enumerate(names)}
    except DataError:
        raise
    except Exception as error:  # pyarrow raises many kinds
        raise DataError(f"{path} is not a readable parquet file: {error}") from None
    return FileTable(pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()}))
