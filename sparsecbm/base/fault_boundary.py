"""The one place where errors become messages and exit codes.

An error that is foreseen is one message and exit code 1: wrong input, and faults of the system such as a full disk.
Any other error is one line that says where its trace was written. `SPARSECBM_DEBUG=1` lets every error through.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.faults import system_fault
from sparsecbm.base.redaction import redacted
from sparsecbm.base.replacement import replacing
from sparsecbm.base.terminal_text import visible
from sparsecbm.base.workspace import Workspace

FAULT, INTERRUPTED = 1, 130


def exit_code(run: Callable[[], int | None]) -> int:
    """Run a function and return its exit code, 0 for None. An error becomes a message on stderr and the exit code 1.

    The last output is flushed here, since that may fail, too. A closed pipe, as by `| head`, is no message.
    """
    try:
        code = run() or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _discard_output()
        return FAULT
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("SPARSECBM_DEBUG") == "1":
            raise
        if isinstance(error, OSError):
            _discard_unwritten()
        _say(f"error: {redacted(describe(error))}")
        return FAULT


def describe(error: Exception) -> str:
    """An error in words, without its trace; the trace of an error that nobody foresaw is written into a file."""
    if isinstance(error, SparseCBMError):
        return str(error)
    if isinstance(error, RecursionError):
        return "the input is nested too deeply"
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # torch raises a RuntimeError
        detail = str(error).strip().partition("\n")[0][:300]
        return f"not enough memory{f': {detail}' if detail else ''}; use a smaller input or model"
    if isinstance(error, UnicodeError):
        return f"a text or a name is not valid Unicode: {error}; convert it to UTF-8"
    fault = system_fault(error)
    if fault is not None:
        name = getattr(error, "filename", None)
        return f"{os.fsdecode(name)}: {fault}" if isinstance(name, str | bytes) else fault
    return _unforeseen(error)


def _unforeseen(error: Exception) -> str:
    first_line = (str(error).strip().splitlines() or [""])[0][:300]
    message = f"this fault is not foreseen, please report it: {type(error).__name__}: {first_line}"
    trace = "".join(traceback.format_exception(error))
    with suppress(SparseCBMError, OSError, UnicodeError):
        file = Workspace.find().state / "faults" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        with replacing(file) as temporary:
            temporary.write_text(visible(redacted(trace)), encoding="utf-8")
        return f"{message}\nIts trace is in {file}"
    return f"{message}\nSet SPARSECBM_DEBUG=1 to see its trace"


def _say(message: str) -> None:
    with suppress(OSError, ValueError):
        print(visible(message), file=sys.stderr, flush=True)


def _discard_output() -> None:
    """Let what is still to be written go nowhere, so that the end of the process does not complain of a closed pipe."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _discard_unwritten() -> None:
    """Discard the output if it cannot be written, as on a full disk: the end of the process would fail again."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _discard_output()
