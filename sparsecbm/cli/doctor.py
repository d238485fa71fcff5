"""The command `sparsecbm doctor`."""

import typer

from sparsecbm.base.workspace import Workspace


def doctor() -> None:
    """Check versions, pins, folders, databases and disk, and say how to fix what is wrong."""
    from rich.console import Console
    from rich.table import Table

    from sparsecbm.cli.health import check_workspace
    from sparsecbm.cli.printing.tables import plain

    console = Console()
    table = Table("", "check", "result", box=None, pad_edge=False)
    faults = []
    with console.status("checking ..."):
        for finding in check_workspace(Workspace.find()):
            mark = "[green]ok[/]" if finding.good else "[red]!![/]" if finding.fatal else "[yellow]![/]"
            table.add_row(mark, finding.name, plain(finding.result))
            if not finding.good:
                faults.append(finding)
    console.print(table)
    for fault in faults:
        console.print(f"[red]{fault.name}[/] fix: {plain(fault.fix)}", soft_wrap=True, highlight=False)
    if any(fault.fatal for fault in faults):
        raise typer.Exit(1)
    if not faults:
        console.print("[green]everything is fine[/]")
