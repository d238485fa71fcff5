"""Files that a form sends: `multipart/form-data` (RFC 7578), one file and the fields beside it."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from fastapi import Request

from sparsecbm.base.errors import ConfigError

_BOUNDARY = re.compile(r'multipart/form-data;.*?boundary=(?:"([^"]+)"|([^\s;]+))', re.IGNORECASE)
_FILE = re.compile(rb'content-disposition: form-data;.*?;\s*filename="([^"\r\n]*)"', re.IGNORECASE)
NO_FILE = "no file is chosen; choose one first"


@dataclass(frozen=True)
class Upload:
    """A file.

    Attributes:
        name: without folders, as its owner calls it
    """

    name: str
    content: bytes


async def read_upload(request: Request) -> Upload:
    """Read the file of a form.

    Raises:
        ConfigError: the body is no such form, holds several files, or no file was chosen.
    """
    boundary = _BOUNDARY.match(request.headers.get("content-type", ""))
    if boundary is None:
        raise ConfigError("the body is no form with a file; send it from the page")
    delimiter = b"\r\n--" + (boundary[1] or boundary[2]).encode("latin-1", "replace")
    _, *parts = (b"\r\n" + await request.body()).split(delimiter)
    if not parts or not parts[-1].startswith(b"--"):
        raise ConfigError("the form did not arrive whole; send it again")
    files = []
    for part in parts[:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        named = _FILE.search(head)
        if named:
            files.append((named[1].decode("utf-8", "replace"), content))
    if len(files) != 1:
        raise ConfigError("send one file at a time" if files else NO_FILE)
    ((path, content),) = files
    name = PurePosixPath(PureWindowsPath(path).name).name
    if not name:
        raise ConfigError(NO_FILE)
    return Upload(name, content)
