"""The flow `promotion`, and its two tasks `gate` and `promote`, which `retrain` also runs.

`python -m flows.promotion [VERSION]` judges a version of the registered model, by default this workspace's model.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flows.settings import configure
from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.printing.terminal import say

if "prefect" not in sys.modules:
    try:
        configure(Workspace.find(), os.environ.get("SPARSECBM_DEBUG") == "1")
    except SparseCBMError as error:
        sys.exit(f"error: {error}")

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed, State

from flows import publish
from flows.calls import call
from flows.heartbeat import heartbeat
from flows.notify import notify
from flows.screen import Screen
from sparsecbm.base.params import load_params
from sparsecbm.promote.ledger import HOLD, PROMOTE, REJECT, Ledger
from sparsecbm.promote.transaction import UnchangedError, require_reason

if TYPE_CHECKING:
    from sparsecbm.promote.service import PromotionService

Mode = Literal["auto", "gate-only", "off"]

PROMOTED = "Promoted"
HELD = "Held"
REJECTED = "Rejected"
UNCHANGED = "Unchanged"
JUDGED = "Judged"  # the verdict is PROMOTE, but only judging was requested
REFUSED = "Refused"
STATE_OF_VERDICT = {PROMOTE: JUDGED, HOLD: HELD, REJECT: REJECTED}


@task(cache_policy=NO_CACHE, persist_result=False)
def gate(root: str, version: int | None = None) -> State[Ledger]:
    """Register the model and judge it against the champion; the name of the state is the verdict."""
    try:
        ledger = _promotion_service(root).gate(version)
    except UnchangedError as error:
        return Completed(name=UNCHANGED, message=str(error))
    except SparseCBMError as error:
        return Failed(name=REFUSED, message=f"error: {error}")
    publish.promotion_ledger(ledger)
    return Completed(name=STATE_OF_VERDICT[ledger.verdict], message="; ".join(ledger.reasons), data=ledger)


@task(cache_policy=NO_CACHE, persist_result=False)
def promote(root: str, ledger: Ledger, force: str = "") -> State:
    """Make the judged version the champion if the verdict allows it; the history records the result."""
    try:
        entry = _promotion_service(root).promote(ledger, force)
    except UnchangedError as error:
        return Completed(name=UNCHANGED, message=str(error))
    except SparseCBMError as error:
        return Failed(name=REFUSED, message=f"error: {error}")
    if entry.action == "promote":
        return Completed(name=PROMOTED, message=f"version {entry.version} is the champion: {entry.reason}")
    return Completed(name=STATE_OF_VERDICT[ledger.verdict], message=f"version {entry.version}: {entry.reason}")


def gate_and_promote(root: Path, mode: Mode, screen: Screen, version: int | None = None, force: str = "") -> State:
    """Run `gate`, then `promote` if the mode is `auto`; return the state of the last task."""
    screen.line("judging the model")
    with heartbeat("gate", screen.line):
        judged = call(gate, str(root), version)
    screen.end("gate", judged.name, None, judged.message or "")
    if not judged.is_completed() or judged.name == UNCHANGED or mode == "gate-only":
        return judged
    with heartbeat("promote", screen.line):
        promoted = call(promote, str(root), judged.result(), force)
    screen.end("promote", promoted.name, None, promoted.message or "")
    return promoted


@flow(
    name="promotion", persist_result=False, validate_parameters=True,
    on_completion=[notify], on_failure=[notify], on_crashed=[notify],
)  # fmt: skip
def promotion(
    version: int | None = None,
    mode: Literal["auto", "gate-only"] = "auto",
    force: bool = False,
    reason: str | None = None,
    root: str | None = None,
) -> State:
    """Judge a version, by default this workspace's model, and promote or refuse it."""
    workspace = Workspace(Path(root)) if root else Workspace.find()
    try:
        return as_flow_state(gate_and_promote(workspace.root, mode, Screen(), version, require_reason(force, reason)))
    except SparseCBMError as error:
        return Failed(name=REFUSED, message=f"error: {error}")


def as_flow_state(state: State) -> State:
    """The state of a task as the state of a flow."""
    kind = Completed if state.is_completed() else Failed
    return kind(name=state.name, message=state.message)


def _promotion_service(root: str) -> "PromotionService":
    from sparsecbm.promote.service import PromotionService  # imports torch, which a flow that ends early does not need

    workspace = Workspace(Path(root))
    return PromotionService.open(workspace, load_params(workspace.params))


def main(arguments: list[str]) -> int:
    """Run the flow here; print the result and return the exit code."""
    state = promotion(int(arguments[0]) if arguments else None, return_state=True)
    say(state.message or state.name, error=not state.is_completed())
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
