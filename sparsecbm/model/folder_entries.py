"""What may lie in a folder of a model or a backbone. It is checked before any of its files is read.

A folder may come from anybody, so a link could name a secret file, and a pipe or a device would never end. Files that
ask to run code are refused, too: `auto_map` names a Python file that transformers would run.
"""

import os
import stat
from pathlib import Path
from typing import Any

from sparsecbm.base.errors import ModelError
from sparsecbm.base.files import read_json_object

MOST_BYTES = 64 * 2**20  # of a JSON file; those of the largest tokenizers have 35 MB, and these are not read here
DEEPEST = 40  # objects and lists in one another
CODE_KEYS = ("auto_map", "custom_pipelines")
KINDS = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def check_entries(folder: Path, links_into: Path | None = None) -> None:
    """Check that a folder holds regular files and folders alone.

    Args:
        links_into: links to regular files below this folder are allowed, as in the cache of the Hugging Face hub

    Raises:
        ModelError: names the first entry that is something else.
    """
    for parent, folders, files in os.walk(folder):
        for name in sorted((*folders, *files)):
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                continue
            if stat.S_ISLNK(mode) and links_into is not None:
                target = path.resolve()
                if target.is_file() and target.is_relative_to(links_into.resolve()):
                    continue
            kind = KINDS.get(stat.S_IFMT(mode), "a device")
            raise ModelError(
                f"{path} is {kind}; a folder of a model holds regular files only, so replace it by a copy of the file "
                "that you trust"
            )


def read_settings(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        ModelError: it is missing, too large, or asks to run code.
        DataError: it holds no JSON object.
    """
    if not path.is_file():
        raise ModelError(f"{path} does not exist or is no file; restore the folder")
    if path.stat().st_size > MOST_BYTES:
        raise ModelError(f"{path} has more than {MOST_BYTES // 2**20} MB, so it is no file of settings")
    content = read_json_object(path)
    keys, level = set(), [content]
    for _ in range(DEEPEST):
        keys |= {key for value in level if isinstance(value, dict) for key in value}
        level = [inner for value in level for inner in _inner_values(value)]
    if level:
        raise ModelError(f"{path} is nested too deeply to be a file of settings; restore the file")
    for key in CODE_KEYS:
        if key in keys:
            raise ModelError(
                f"{path} asks to run code of its own ({key}), and no code of a model folder is ever run; take a model "
                f"that transformers knows, and remove {key}"
            )
    return content


def _inner_values(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
