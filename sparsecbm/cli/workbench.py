"""The command that opens the workbench."""

from pathlib import Path
from typing import Annotated

import typer

from sparsecbm.cli.options import hub_folder


def workbench(
    model: Annotated[
        str | None, typer.Argument(help="A model folder; by default the sparse model of the workspace.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of the page.")] = 8090,
    host: Annotated[str, typer.Option(help="The address to listen at; another than loopback asks for a token.")] = (
        "127.0.0.1"
    ),
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name by which other machines know this one; can be repeated.")
    ] = None,
    token: Annotated[bool, typer.Option("--token", help="Ask for a token, which the printed address holds.")] = False,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser, unless it asks for a token.")] = True,
) -> None:
    """Open a local page on which people read, correct and label texts."""
    import logging
    import os
    import threading
    import webbrowser

    from sparsecbm.base.workspace import Workspace
    from sparsecbm.serve.server import Served, serve
    from sparsecbm.workbench.application import add_workbench
    from sparsecbm.workbench.token_door import TokenDoor, entrance

    workspace = Workspace.find()
    folder = hub_folder(Path(model)) if model else workspace.sparse
    access, address = entrance(host, port, allow_host or (), token, os.environ)
    served = Served(str(folder), None, workspace.state / "corrections.jsonl", poll=10)

    def extend(app: object) -> None:
        add_workbench(app, workspace, folder)
        print(f"workbench: {address}\nstop it with Ctrl-C", flush=True)
        if browser and not access.token:  # other users can read the command line of a browser, and so the token
            threading.Timer(1.0, webbrowser.open, [address]).start()

    serve(served, access, extend, TokenDoor, logging.WARNING)  # the terminal is for the address alone
