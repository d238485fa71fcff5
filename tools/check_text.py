"""Check that text files end with one newline and that no line ends with spaces or marks a merge conflict.

Usage: python tools/check_text.py FILE...   Prints each fault as FILE:LINE: FAULT; the exit code is 1 if there is any.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

CONFLICT = re.compile(r"(<{7}|>{7}|\|{7}) ")


def find_faults(text: str) -> Iterator[tuple[int, str]]:
    """Pairs of a line's number, counted from 1, and what is wrong with the line."""
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if line != line.rstrip():
            yield number, "spaces at the end of the line"
        if CONFLICT.match(line):
            yield number, "a mark of a merge conflict"
    if text and lines[-1]:
        yield len(lines), "no newline at the end of the file"
    if text.endswith("\n\n"):
        yield len(lines) - 1, "an empty line at the end of the file"


def main(paths: list[str]) -> int:
    """Print the faults of files and return the exit code."""
    faults = [
        f"{path}:{number}: {fault}"
        for path in paths
        for number, fault in find_faults(Path(path).read_bytes().decode("utf-8"))
    ]
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
