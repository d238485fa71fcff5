"""The commands of promotion. Thin, and imported with the command line, so what is heavy is imported when they run."""

import subprocess
import sys
from typing import Annotated

import typer

Version = Annotated[int | None, typer.Argument(help="A version of the registered model; this workspace's by default.")]
Reason = Annotated[str | None, typer.Option(help="Decision, for the record.")]
Json = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]


def add_commands(app: typer.Typer) -> None:
    """Let the command line have them."""
    for command in (promote, rollback, status, history):
        app.command()(command)


def promote(
    version: Version = None,
    force: Annotated[bool, typer.Option("--force", help="Against the verdict; needs --reason.")] = False,
    reason: Reason = None,
    gate_only: Annotated[bool, typer.Option("--gate-only", help="Judge, and promote nothing.")] = False,
) -> None:
    """Judge a model against the champion, and make it the champion if it passes every gate."""
    from sparsecbm.cli.printing.promotion import show_entry, show_ledger
    from sparsecbm.promote.service import ledger_folder
    from sparsecbm.promote.transaction import UnchangedError, require_reason

    why = require_reason(force, reason)
    service = _promotion_service()
    try:
        ledger = service.gate(version)
    except UnchangedError as same:
        print(f"unchanged: {same}")
        return
    show_ledger(ledger)
    print(f"the ledger is at {ledger_folder(service.workspace, ledger.challenger)}")
    if gate_only:
        return
    entry = service.promote(ledger, why)
    show_entry(entry)
    if entry.action == "refuse":
        raise typer.Exit(1)


def rollback(reason: Reason = None) -> None:
    """Go back to the champion before; again, to the one before that."""
    from sparsecbm.cli.printing.promotion import show_entry

    show_entry(_promotion_service().rollback(reason or "no reason given"))


def status(json: Json = False) -> None:
    """Say which version is the champion, since when and from which run, and what is wrong, if anything is."""
    from sparsecbm.cli.printing.promotion import show_status
    from sparsecbm.cli.printing.tables import show_json
    from sparsecbm.promote.status import load_status
    from sparsecbm.track.store import answering

    service = _promotion_service()
    with translated_errors(service.store.uri):
        found = load_status(service)
    if json:
        show_json(found)
        raise typer.Exit(1 if found.faults else 0)
    show_status(found)
    services = subprocess.run(
        [sys.executable, "-m", "flows.services", "status"], cwd=service.workspace.root, check=False
    )
    raise typer.Exit(1 if found.faults or services.returncode else 0)


def history(json: Json = False) -> None:
    """List what was promoted, refused and rolled back, and verify the chain of the record."""
    from dataclasses import asdict
    from json import dumps

    from sparsecbm.cli.printing.promotion import show_history
    from sparsecbm.promote.history import find_chain_faults, find_clock_jumps
    from sparsecbm.track.store import answering

    service = _promotion_service()
    with translated_errors(service.store.uri):
        entries = service.registry.entries()
    wrong = find_chain_faults(entries)
    if json:
        plain = [{**asdict(entry), "hash": entry.hash} for entry in entries]
        print(
            dumps({"entries": plain, "faults": wrong, "clock": find_clock_jumps(entries)}, indent=2, ensure_ascii=False)
        )
    else:
        show_history(entries, wrong, find_clock_jumps(entries))
    if wrong:
        raise typer.Exit(1)


def _promotion_service():
    from sparsecbm.base.params import load_params
    from sparsecbm.base.workspace import Workspace
    from sparsecbm.promote.service import PromotionService

    workspace = Workspace.find()
    return PromotionService.open(workspace, load_params(workspace.params))
