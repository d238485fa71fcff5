"""Arguments and options that several commands share."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def _model_folder(context: typer.Context, model: Path) -> Path:
    """The folder of a model.

    A registered model is downloaded and verified; its files go when the command ends. A model of a hub is downloaded
    into the hub's cache.
    """
    address = str(model)
    if not address.startswith("models:/"):
        return hub_folder(model)
    from sparsecbm.serve.alias import Alias

    alias = Alias.open(address)
    return context.with_resource(alias.fetched(alias.number())) / "model"


def hub_folder(model: Path) -> Path:
    """The folder of a model of a hub, whose commit is told; any other path as it is."""
    if "@" not in str(model):  # most models are folders, and need no client of a hub
        return model
    from sparsecbm.model.hub import snapshot_address
    from sparsecbm.model.storage import local_folder

    folder = local_folder(model)
    origin = None if folder == model else snapshot_address(folder)
    if origin is not None:
        print(f"{model} is commit {origin.revision}", file=sys.stderr)
    return folder


Model = Annotated[
    Path,
    typer.Argument(
        help="A model folder, such as models/sparse; a registered model: models:/NAME@ALIAS; or one of a hub: "
        "OWNER/NAME@REVISION.",
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
