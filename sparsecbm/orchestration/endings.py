"""How a process ends: by a signal, with its parent, or since nobody reads its output any more."""

import ctypes
import os
import signal
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1
PIPE_CLOSED = 128 + signal.SIGPIPE  # exit code


PARENT = "SPARSECBM_PARENT"  # the process of the command line that started this one


class PipeClosed(KeyboardInterrupt):
    """Nobody reads the output any more, as after `| head`; what runs is cleaned up as after Ctrl-C."""


class Terminated(KeyboardInterrupt):
    """A signal asked this process to end; what runs is cleaned up as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.exit_code = 128 + number


def begin_process() -> None:
    """Make a process of a flow or of the services end in good order: by signals, and with its parent."""
    raise_on_signals()
    parent = os.environ.pop(PARENT, "")
    if parent.isdigit():
        end_with(int(parent))


def raise_on_signals() -> None:
    """Let SIGTERM, and SIGHUP of a closed terminal, raise `Terminated` in the main thread."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` ignores SIGHUP
            signal.signal(number, _terminate)


def end_with(parent: int) -> None:
    """Let Linux send SIGTERM to this process when its parent dies, even by SIGKILL."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before
        os.kill(os.getpid(), signal.SIGTERM)


def discard_output() -> None:
    """Let nothing more be written to a closed pipe, not even on exit."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise Terminated(number)
