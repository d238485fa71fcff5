"""The files of a workspace, without those of its tools."""

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from sparsecbm.base.replacement import recover

# The environment and caches of tools; histories of git and DVC are looked through by other means.
TOOLS = {".git", ".dvc", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "node_modules"}
SCHEDULED = "scheduled"  # in the state folder: a clone, which is a workspace of its own


def files_below(root: Path, pattern: str = "*") -> Iterator[Path]:
    """The regular files of a folder whose names match a pattern, in the order of their paths."""
    for folder, folders, names in os.walk(root):
        clone = SCHEDULED if os.path.basename(folder) == ".sparsecbm" else None
        folders[:] = sorted(name for name in folders if name not in TOOLS and name != clone)
        for name in sorted(names):
            path = Path(folder, name)
            if fnmatch(name, pattern) and path.is_file() and not path.is_symlink():
                yield path


def recover_all(root: Path) -> None:
    """Clear away what killed writers of any file or folder below `root` left."""
    ending = len(".01234567.partial")
    for folder, folders, _ in os.walk(root):
        folders[:] = [name for name in folders if name not in TOOLS]
        for name in folders:
            if name.startswith(".") and name.endswith(".partial") and len(name) > ending:
                recover(Path(folder, name[1:-ending]))
