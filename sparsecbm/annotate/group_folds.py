"""Folds of groups that depend on the group alone, so that a text that is added moves no other."""

import zlib

FOLDS = 5


def group_fold(group: str) -> int:
    """The fold of a group, 0 to `FOLDS` - 1."""
    return zlib.crc32(str(group).encode()) % FOLDS
