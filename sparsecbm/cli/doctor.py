"""The command `sparsecbm doctor`."""

import typer

from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace


def doctor() -> None:
    """Check versions, pins, folders, databases and disk, and say how to fix what is wrong."""
    from rich.table import Table
    from rich.text import Text

    from sparsecbm.cli.health import check_workspace
    from sparsecbm.cli.printing.terminal import Terminal, cell

    console = Terminal()
    table = Table("", "check", "result", box=None, pad_edge=False)
    faults = []
    with console.status("checking ..."):
        for finding in check_workspace(Workspace.find()):
            good, fatal = Text("ok", "green"), Text("!!", "red")
            mark = good if finding.good else fatal if finding.fatal else Text("!", "yellow")
            table.add_row(mark, cell(finding.name), cell(redacted(finding.result)))
            if not finding.good:
                faults.append(finding)
    console.print(table)
    for fault in faults:
        console.print(Text.assemble((fault.name, "red"), f" fix: {redacted(fault.fix)}"), soft_wrap=True)
    if any(fault.fatal for fault in faults):
        raise typer.Exit(1)
    if not faults:
        console.print("everything is fine", style="green")
