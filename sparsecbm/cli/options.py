"""Arguments and options that several commands share."""

import re
from pathlib import Path
from typing import Annotated

import typer

from sparsecbm.base.errors import ConfigError


def require_unicode(texts: list[str] | None) -> list[str] | None:
    """The texts of an option, which the shell gave as bytes.

    Raises:
        ConfigError: one holds bytes that are not UTF-8.
    """
    for number, text in enumerate(texts or (), start=1):
        shown = re.sub(r"[\ud800-\udfff]", "\ufffd", text)
        if shown != text:
            raise ConfigError(f"--text: text {number} holds bytes that are not UTF-8: {shown[:60]!r}; convert it first")
    return texts


Model = Annotated[Path, typer.Argument(help="A model folder, such as models/sparse.")]
Texts = Annotated[list[str] | None, typer.Option("--text", help="A text; can be repeated.", callback=require_unicode)]
TextFile = Annotated[
    Path | None,
    typer.Option(
        "--file",
        help="Texts: .jsonl, .json, .csv, .tsv, .parquet or .xlsx with a field `text`, or one text on each line; "
        "`-` is standard input.",
    ),
]
Column = Annotated[str | None, typer.Option("--column", help="The field of the texts in --file, if it is not `text`.")]
Json = Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")]
