"""Commands that need checked texts let the pipeline check them first."""

import sys

import typer

from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.flow_process import has_flows, run_module


def ensure_checked_texts(workspace: Workspace) -> None:
    """Run the pipeline up to the stage `validate`, where no texts are checked yet.

    Raises:
        typer.Exit: a stage refuses the data, and has said why.
    """
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.data.tables import MANIFEST

    if (workspace.validated / MANIFEST).is_file() or not has_flows(workspace):
        return
    say("no texts are checked yet, so `sparsecbm run validate` comes first")
    sys.stdout.flush()  # before the lines of the flow
    code = run_module(workspace, "flows.retrain", "validate")
    if code:
        raise typer.Exit(code)
