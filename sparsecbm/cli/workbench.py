"""The command that opens the workbench."""

from pathlib import Path
from typing import Annotated

import typer


def workbench(
    model: Annotated[
        str | None, typer.Argument(help="A model folder; by default the sparse model of the workspace.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of the page.")] = 8090,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Open a local page on which people read, correct and label texts."""
    import threading
    import webbrowser

    from sparsecbm.base.workspace import Workspace
    from sparsecbm.serve.access_rules import AccessRules
    from sparsecbm.serve.server import Served, serve
    from sparsecbm.workbench.application import add_workbench

    workspace = Workspace.find()
    folder = Path(model) if model else workspace.sparse
    address = f"http://127.0.0.1:{port}/"
    served = Served(str(folder), None, workspace.state / "corrections.jsonl", poll=10)

    def extend(app: object) -> None:
        add_workbench(app, workspace, folder)
        print(f"workbench: {address}\nstop it with Ctrl-C", flush=True)
        if browser:
            threading.Timer(1.0, webbrowser.open, [address]).start()

    serve(served, AccessRules("127.0.0.1", port), extend)
