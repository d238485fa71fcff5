"""The flow `promotion`, and the two tasks that `retrain` goes on with: `gate` and `promote`.

`python -m flows.promotion [VERSION]` judges a version of the registered model here, by default this workspace's model.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flows.settings import configure
from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.workspace import Workspace

if "prefect" not in sys.modules:
    try:
        configure(Workspace.find(), os.environ.get("SPARSECBM_DEBUG") == "1")
    except SparseCBMError as error:
        sys.exit(f"error: {error}")

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed, State

from flows import publish
from flows.notify import notify
from flows.screen import Screen
from sparsecbm.base.params import load_params
from sparsecbm.promote import ledger as verdicts
from sparsecbm.promote.ledger import Ledger
from sparsecbm.promote.transaction import UnchangedError, forced

if TYPE_CHECKING:
    from sparsecbm.promote.service import PromotionService

Mode = Literal["auto", "gate-only", "off"]

PROMOTED = "Promoted"
HELD = "Held"
REJECTED = "Rejected"
UNCHANGED = "Unchanged"
JUDGED = "Judged"  # and promoted nothing, as was asked
REFUSED = "Refused"
OF_VERDICT = {verdicts.PROMOTE: JUDGED, verdicts.HOLD: HELD, verdicts.REJECT: REJECTED}


@task(cache_policy=NO_CACHE, persist_result=False)
def gate(root: str, version: int | None = None) -> State[Ledger]:
    """Register the model and judge it against the champion; the state's name says how it stands."""
    try:
        ledger = _promotion_service(root).gate(version)
    except UnchangedError as same:
        return Completed(name=UNCHANGED, message=str(same))
    except SparseCBMError as error:
        return Failed(name=REFUSED, message=f"error: {error}")
    publish.ledger(ledger)
    return Completed(name=OF_VERDICT[ledger.verdict], message="; ".join(ledger.reasons), data=ledger)


@task(cache_policy=NO_CACHE, persist_result=False)
def promote(root: str, ledger: Ledger, force: str = "") -> State:
    """Make the judged version the champion if the verdict allows it, and put on record what became of it."""
    try:
        entry = _promotion_service(root).promote(ledger, force)
    except UnchangedError as same:
        return Completed(name=UNCHANGED, message=str(same))
    except SparseCBMError as error:
        return Failed(name=REFUSED, message=f"error: {error}")
    if entry.action == "promote":
        return Completed(name=PROMOTED, message=f"version {entry.version} is the champion: {entry.reason}")
    return Completed(name=OF_VERDICT[ledger.verdict], message=f"version {entry.version}: {entry.reason}")


def go_on(root: Path, mode: Mode, screen: Screen, version: int | None = None, force: str = "") -> State:
    """Gate and promote as the mode says; the state that the flow ends in."""
    judged = gate(str(root), version, return_state=True)
    screen.end("gate", judged.name, None, judged.message or "")
    if not judged.is_completed() or judged.name == UNCHANGED or mode == "gate-only":
        return judged
    done = promote(str(root), judged.result(), force, return_state=True)
    screen.end("promote", done.name, None, done.message or "")
    return done


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
    """Judge a version, by default that of this workspace's model, and promote it or refuse."""
    workspace = Workspace(Path(root)) if root else Workspace.find()
    try:
        return ending(go_on(workspace.root, mode, Screen(), version, forced(force, reason)))
    except SparseCBMError as error:
        return Failed(name=REFUSED, message=f"error: {error}")


def ending(state: State) -> State:
    """The state of a task as that of a flow."""
    kind = Completed if state.is_completed() else Failed
    return kind(name=state.name, message=state.message)


def _promotion_service(root: str) -> "PromotionService":
    from sparsecbm.promote.service import (
        PromotionService,
    )  # torch comes with it, and a flow that ends before needs none

    workspace = Workspace(Path(root))
    return PromotionService.open(workspace, load_params(workspace.params))


def main(arguments: list[str]) -> int:
    """Run the flow here."""
    state = promotion(int(arguments[0]) if arguments else None, return_state=True)
    print(state.message or state.name, file=sys.stdout if state.is_completed() else sys.stderr)
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
