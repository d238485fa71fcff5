"""The texts that a command is given: as options, in a file, or on standard input."""

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from sparsecbm.base.errors import ConfigError, DataError

STDIN = Path("-")


def collect_texts(texts: Sequence[str] | None, file: Path | None, column: str | None = None) -> list[str]:
    """The texts of the options `--text`, of the file `--file`, or else of standard input.

    Args:
        file: `-` is standard input
        column: the column or key of the texts in a table; `text` by default

    Raises:
        ConfigError: both or neither are given, or a column without a table.
        DataError: there is no text, or as `load_texts`.
    """
    if texts and file:
        raise ConfigError("give only one of --text and --file")
    if texts:
        if column is not None:
            raise ConfigError("--column names the column of a --file; --text needs none")
        return list(texts)
    if file is None and not _waits_on_stdin():
        raise ConfigError("give --text or --file, or texts on standard input")
    from sparsecbm.cli.text_files import load_texts, parse_texts  # imports pandas, which `--text` does not need

    if file is None or file == STDIN:
        loaded, name = parse_texts(sys.stdin.buffer.read(), "", column, "standard input"), "standard input"
    else:
        loaded, name = load_texts(file, column), str(file)
    if not loaded:
        raise DataError(f"{name} holds no text")
    return loaded


def _waits_on_stdin() -> bool:
    """Whether a pipe or a file is standard input, not a terminal or nothing."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)
