"""What the system's own errors mean, in words: a full disk, a missing permission, a name that is too long."""

import errno
import os
import re

_RUST = re.compile(r"\(os error (\d+)\)")  # libraries in Rust, such as safetensors, put the number into the message
_HINTS = {
    errno.ENOSPC: "compare `df` and `df -i`",
    errno.EEXIST: "something else is at this path",
    errno.ENOTDIR: "a part of the path is a file",
    errno.ELOOP: "links lead in a circle, or a link is not followed here",
    errno.EBUSY: "another disk may be mounted there",
    errno.EMFILE: "see `ulimit -n`",
}


def system_fault(error: BaseException) -> str | None:
    """What a fault of the system is, in its own words and with a hint; None if the error is of another kind."""
    number = error.errno if isinstance(error, OSError) else _number_in(error)
    if number is not None:
        hint = _HINTS.get(number)
        return os.strerror(number) + (f" ({hint})" if hint else "")
    if isinstance(error, OSError):
        return str(error) or type(error).__name__
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return "the name holds a NUL character"
    return None


def _number_in(error: BaseException) -> int | None:
    match = _RUST.search(str(error)) if isinstance(error, Exception) else None
    return int(match[1]) if match else None
