"""The commands on the registered model: promote, rollback, status, history."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsecbm.base.errors import ConfigError, InterventionError
from sparsecbm.base.extras import require
from sparsecbm.cli.options import Json

if TYPE_CHECKING:
    from sparsecbm.intervene.patches.patch import MaskPatch
    from sparsecbm.promote.service import PromotionService

Version = Annotated[
    int | None, typer.Argument(help="A version of the registered model (default: the one of this workspace).")
]
Reason = Annotated[str | None, typer.Option(help="The reason, for the promotion history.")]


def promote(
    version: Version = None,
    force: Annotated[bool, typer.Option("--force", help="Promote against the verdict; needs --reason.")] = False,
    reason: Reason = None,
    gate_only: Annotated[bool, typer.Option("--gate-only", help="Judge the model, but do not promote it.")] = False,
    patches: Annotated[
        Path | None,
        typer.Option(help="A folder of mask patches; the model of this workspace is judged with them in its masks."),
    ] = None,
) -> None:
    """Judge a model against the champion, and make it the champion if it passes every gate."""
    from sparsecbm.promote.transaction import UnchangedError, require_reason

    force_reason = require_reason(force, reason)
    if patches is not None and version is not None:
        raise ConfigError("give only one of VERSION and --patches: patches make a version of their own")
    loaded = _load_patches(patches)
    service = _open_service()
    from sparsecbm.cli.printing.promotion import show_entry, show_ledger
    from sparsecbm.cli.printing.terminal import say

    try:
        ledger = service.gate(version, loaded)
    except UnchangedError as error:
        say(f"unchanged: {error}")
        return
    show_ledger(ledger)
    say(f"ledger: {service.workspace.promotion_page}")
    if gate_only:
        return
    entry = service.promote(ledger, force_reason)
    show_entry(entry)
    if entry.action == "refuse":
        raise typer.Exit(1)


def rollback(reason: Reason = None) -> None:
    """Return to the previous champion; a second rollback returns to the one before it."""
    service = _open_service()
    from sparsecbm.cli.printing.promotion import show_entry

    show_entry(service.rollback(reason or "no reason given"))


def status(json: Json = False) -> None:
    """Show the champion, its age and origin, the services, and what is wrong."""
    service = _open_service()
    from sparsecbm.cli.flow_process import SERVICES, has_flows, run_module
    from sparsecbm.cli.printing.promotion import show_status
    from sparsecbm.cli.printing.tables import show_json
    from sparsecbm.promote.status import load_status
    from sparsecbm.track.store import translated_errors

    with translated_errors(service.store.uri):
        state = load_status(service)
    if json:
        show_json(state)
        raise typer.Exit(1 if state.faults else 0)
    show_status(state)
    services = run_module(service.workspace, SERVICES, "status") if has_flows(service.workspace) else 0
    raise typer.Exit(1 if state.faults or services else 0)


def history(
    json: Json = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Accept a history that is not valid as it is; needs --reason.")
    ] = False,
    reason: Reason = None,
) -> None:
    """List all promotions, refusals and rollbacks, and verify the chain of entries."""
    service = _open_service()
    from sparsecbm.cli.printing.promotion import show_entry, show_history
    from sparsecbm.cli.printing.terminal import say_json
    from sparsecbm.promote.history_record import load_history

    if restart:
        show_entry(service.restart_history(reason or ""))
        return
    record = load_history(service)
    if json:
        say_json(record.to_dict())
    else:
        show_history(record.history, record.faults, record.clock)
    if record.faults:
        raise typer.Exit(1)


def _load_patches(folder: Path | None) -> "list[MaskPatch]":
    """Read the patches of a folder; none without one.

    Raises:
        InterventionError: there are none in it, or one is damaged.
    """
    from sparsecbm.intervene.patches.patch import MaskPatch

    if folder is None:
        return []
    files = sorted(folder.glob("*.patch"))
    if not files:
        raise InterventionError(f"{folder} holds no patches; approve one in the workbench, or name another folder")
    return [MaskPatch.load(path) for path in files]


def _open_service() -> "PromotionService":
    require("mlflow")
    from sparsecbm.base.params import load_params
    from sparsecbm.base.workspace import Workspace
    from sparsecbm.promote.service import PromotionService

    workspace = Workspace.find()
    return PromotionService.open(workspace, load_params(workspace.params))
