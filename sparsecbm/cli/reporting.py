"""The command `sparsecbm report`."""

from pathlib import Path
from typing import Annotated

import typer

from sparsecbm.base.errors import DataError
from sparsecbm.base.extras import require
from sparsecbm.base.workspace import Workspace


def report(
    pdf: Annotated[
        Path | None, typer.Option("--pdf", metavar="FILE.pdf", help="Write a summary of one page for auditors.")
    ] = None,
) -> None:
    """Say where the report of the last run is, or write its summary of one page as a PDF."""
    from sparsecbm.cli.printing.terminal import say

    workspace = Workspace.find()
    if pdf is None:
        if not workspace.report.is_file():
            raise DataError(f"{workspace.report} does not exist; `sparsecbm run` writes it")
        say(workspace.report)
        return
    require("matplotlib")
    from sparsecbm.report.audit import write_audit_page

    write_audit_page(workspace, pdf)
    say(pdf)
