"""Files that are written whole or not at all, and their checksums."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsecbm.base.errors import DataError
from sparsecbm.base.faults import system_fault
from sparsecbm.base.replacement import recover as recover
from sparsecbm.base.replacement import replacing as replacing
from sparsecbm.base.replacement import replacing_folder as replacing_folder
from sparsecbm.base.unique_keys import RepeatedKeyError, object_of

if TYPE_CHECKING:
    import pandas as pd  # imported only where tables are read, since most commands read none


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically. Keys are sorted, so the bytes depend on the value alone."""
    write_text(path, json_text(value))


def json_text(value: object) -> str:
    """What `write_json` writes."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file is missing or cannot be read, or it holds no JSON.
    """
    try:
        return parse_json(Path(path).read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not valid JSON: {error}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {system_fault(error) or error}") from None


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        DataError: as `read_json`, or the file holds something else.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError(f"{path} holds {_kind(value)}, not a JSON object")
    return value


def parse_json(text: str, source: object) -> Any:
    """Parse JSON.

    Args:
        source: where the text is from, for messages

    Raises:
        DataError: the text is no JSON, names a key twice, is nested too deeply, or holds a number of too many digits.
    """
    try:
        return json.loads(text, object_pairs_hook=object_of)
    except RecursionError:
        raise DataError(f"{source} is not valid JSON: it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{source} is not valid JSON: {error}") from None
    except RepeatedKeyError as error:
        raise DataError(f"{source} {error}") from None
    except ValueError:
        raise DataError(f"{source} is not valid JSON: a number has too many digits") from None


def _kind(value: object) -> str:
    kinds = {list: "a list", str: "a text", bool: "a truth value", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")


def write_parquet(path: Path, frame: "pd.DataFrame") -> None:
    """Write a table atomically. Its bytes depend on its contents alone."""
    with replacing(path) as temporary:
        frame.reset_index(drop=True).to_parquet(temporary, engine="pyarrow", compression="zstd", index=False)


def read_parquet(path: Path) -> "pd.DataFrame":
    """Read a table.

    Raises:
        DataError: the file is missing or unreadable.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    import pandas as pd

    try:
        return pd.read_parquet(path, engine="pyarrow")
    except Exception as error:  # pyarrow raises many kinds
        raise DataError(f"{path} is not a readable parquet file: {error}") from None


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(path: Path) -> str:
    """sha256 of a file's bytes, or of the names and bytes of all files in a folder. Compiled Python does not count.

    Raises:
        DataError: there is nothing at `path`.
    """
    path = Path(path)
    if path.is_file():
        return sha256_file(path)
    if not path.is_dir():
        raise DataError(f"{path} does not exist; run the stages before this one first")
    files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    listing = [[file.relative_to(path).as_posix(), sha256_file(file)] for file in files]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()
