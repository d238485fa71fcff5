"""The command that serves a model over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from sparsecbm.cli.options import hub_folder


def serve(
    model: Annotated[
        str,
        typer.Argument(help="A model folder, an alias: models:/NAME@ALIAS, or a model of a hub: OWNER/NAME@REVISION."),
    ],
    host: Annotated[str, typer.Option(help="The address to listen at; another than loopback needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen at.")] = 8080,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A host name by which clients know the service; can be repeated.")
    ] = None,
    patches: Annotated[Path | None, typer.Option(help="A folder of patches that requests may name.")] = None,
    corrections: Annotated[Path, typer.Option(help="The file that keeps corrections as proposals.")] = Path(
        ".sparsecbm/corrections.jsonl"
    ),
    poll: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the alias.")] = 10,
) -> None:
    """Serve a model over HTTP until it is stopped; SPARSECBM_TOKEN asks for a token."""
    import os

    from sparsecbm.serve.access_rules import AccessRules
    from sparsecbm.serve.server import Served
    from sparsecbm.serve.server import serve as run

    if not model.startswith("models:/"):
        model = str(hub_folder(Path(model)))
    access = AccessRules.from_environment(host, port, allow_host or (), os.environ)
    run(Served(model, patches, corrections, poll), access)
