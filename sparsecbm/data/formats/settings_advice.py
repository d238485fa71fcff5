"""Messages about files for commands that do not read `source.format` of `params.yaml`."""

import re

_OTHER_SHAPE = re.compile(r"; then set source\.format: \{.*\}")
_ENCODING = re.compile(r", or, since it looks like ([^,]*), set source\.format: \{.*\}")
_UNKNOWN_ENCODING = re.compile(r", or name its encoding.*")
_NO_MARK = re.compile(r"; set source\.format: \{encoding: .*\}")
_PATH = re.compile(r"; set source\.path to .*")
_SAVE = (
    "; save it with the names of its columns in the first line; a csv file needs commas between its cells, and double "
    "quotes around cells that hold commas"
)


def without_settings(message: str) -> str:
    """A message that advises to change the file, in place of settings that do not belong to it."""
    message = _OTHER_SHAPE.sub(_SAVE, _PATH.sub("", message))
    message = _ENCODING.sub(r" (it looks like \1)", _UNKNOWN_ENCODING.sub("", message))
    return _NO_MARK.sub("; save it as UTF-8", message)
