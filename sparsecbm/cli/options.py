"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[Path, typer.Argument(help="A model folder, such as models/sparse.")]
Texts = Annotated[list[str] | None, typer.Option("--text", help="A text; can be repeated.")]
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
