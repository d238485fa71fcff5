"""The flow `promotion`: the gates judge a version of the registered model, then it is promoted or refused.

`python -m flows.promotion [VERSION]` runs it here, by default with this workspace's model.
"""

import sys
from pathlib import Path
from typing import Literal

from sparsecbm.orchestration.launch import prepare

prepare()

from prefect import flow  # noqa: E402  (Prefect reads its settings on import)
from prefect.states import Failed, State  # noqa: E402

from sparsecbm.base.errors import SparseCBMError  # noqa: E402
from sparsecbm.base.workspace import Workspace  # noqa: E402
from sparsecbm.cli.printing.terminal import say  # noqa: E402
from sparsecbm.orchestration.calls import call  # noqa: E402
from sparsecbm.orchestration.heartbeat import heartbeat  # noqa: E402
from sparsecbm.orchestration.notify import notify  # noqa: E402
from sparsecbm.orchestration.screen import Screen  # noqa: E402
from sparsecbm.orchestration.tasks import REFUSED, UNCHANGED, Mode, as_flow_state, gate, promote  # noqa: E402
from sparsecbm.promote.transaction import require_reason  # noqa: E402


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


def main(arguments: list[str]) -> int:
    """Run the flow here; print the result and return the exit code."""
    state = promotion(int(arguments[0]) if arguments else None, return_state=True)
    say(state.message or state.name, error=not state.is_completed())
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
