"""The command that forgets a text."""

from typing import Annotated

import typer


def forget(
    identity: Annotated[str | None, typer.Option("--id", metavar="ID", help="The id of a row of the text.")] = None,
    text: Annotated[str | None, typer.Option(help="The text itself.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only say what would be done.")] = False,
) -> None:
    """Remove a text from everything that this workspace keeps, and list what others still hold."""
    from sparsecbm.base.workspace import Workspace
    from sparsecbm.cli.printing.erasure import show_erasure
    from sparsecbm.erasure.forget import erase, plan_erasure

    workspace = Workspace.find()
    erasure = plan_erasure(workspace, identity, text)
    if yes:
        erase(workspace, erasure)
    show_erasure(erasure, workspace.root, done=yes)
