"""Starts a flow: settings before Prefect is imported, and a run in the terminal with one message at the end."""

import os
import sys
from typing import TYPE_CHECKING

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.workspace import Workspace
from sparsecbm.orchestration.endings import PIPE_CLOSED, PipeClosed, Terminated, begin_process, discard_output
from sparsecbm.orchestration.settings import configure
from sparsecbm.orchestration.temporary_server import TemporaryServer

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.states import State

    from sparsecbm.orchestration.screen import Screen


def prepare(in_terminal: bool = False) -> TemporaryServer | None:
    """Set up Prefect for the workspace around the working directory, before the first import of Prefect.

    Args:
        in_terminal: whether this process was started to run the flow; then it ends in good order by signals, and a
            temporary server starts if no other one is known

    Returns:
        the temporary server, which starts while the caller goes on importing
    """
    if "prefect" in sys.modules:
        return None  # a worker or a test has set it up
    if in_terminal and "--debug" in sys.argv:
        os.environ["SPARSECBM_DEBUG"] = "1"
    try:
        configure(Workspace.find(), _debug())
        if in_terminal:
            begin_process()
            return None if os.environ.get("PREFECT_API_URL") else TemporaryServer(Workspace.find())
    except (SparseCBMError, OSError) as error:
        sys.exit(f"error: {error}")
    return None


def run_in_terminal(flow: "Flow", server: TemporaryServer | None, **parameters: object) -> int:
    """Run a flow in this process and print its final message.

    Args:
        server: the result of `prepare`

    Returns:
        0 if the flow succeeded, 1 after an error, else 128 + the number of the signal that ended it
    """
    from sparsecbm.orchestration.screen import Screen

    screen = Screen()
    try:
        state = _run(flow, server, parameters, screen)
    except PipeClosed:
        discard_output()
        return PIPE_CLOSED
    except KeyboardInterrupt as ending:
        word = "terminated" if isinstance(ending, Terminated) else "interrupted"
        screen.failure(f"{word}; the next run continues from here")
        return ending.exit_code if isinstance(ending, Terminated) else 130
    except Exception as error:  # an error of Prefect itself, such as no server or a full disk
        if _debug():
            raise
        screen.failure(f"error: Prefect could not run the flow: {error} (--debug shows the trace)")
        return 1
    if state.is_completed():
        screen.success(state.message)
        return 0
    screen.failure(state.message or "error: the flow failed")
    return 1


def _run(flow: "Flow", server: TemporaryServer | None, parameters: dict[str, object], screen: "Screen") -> "State":
    """Run the flow with Prefect; if its server does not start, run the same steps without it."""
    from sparsecbm.orchestration.calls import without_server
    from sparsecbm.orchestration.heartbeat import heartbeat
    from sparsecbm.orchestration.notify import notify_without_server

    with heartbeat("Prefect's server", screen.line, "starting"):
        answers = server is None or server.wait()
    if answers:
        return flow(**parameters, return_state=True)
    screen.line(f"Prefect's server does not start (see {server.log}); this run goes on without it, so no page shows it")
    with without_server():
        state = flow.fn(**parameters)
        notify_without_server(flow, state)
        return state


def _debug() -> bool:
    return os.environ.get("SPARSECBM_DEBUG") == "1"
