"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer


def _model_folder(context: typer.Context, model: Path) -> Path:
    """The folder of a model. A registered one is downloaded and verified; its files go when the command ends."""
    address = str(model)
    if not address.startswith("models:/"):
        return model
    from sparsecbm.serve.alias import Alias

    alias = Alias.open(address)
    return context.with_resource(alias.fetched(alias.number())) / "model"


Model = Annotated[
    Path,
    typer.Argument(
        help="A model folder, such as models/sparse, or a registered model: models:/NAME@ALIAS.",
        callback=_model_folder,
    ),
]
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
