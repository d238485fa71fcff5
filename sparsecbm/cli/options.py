"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[Path, typer.Argument(help="A model folder, such as models/sparse.")]
Texts = Annotated[list[str] | None, typer.Option("--text", help="A text; can be repeated.")]
TextFile = Annotated[
    Path | None,
    typer.Option("--file", help="Texts: .jsonl, .csv or .tsv with a field `text`, or one text on each line."),
]
Json = Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")]
