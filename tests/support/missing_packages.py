"""Runs commands as if some packages were not installed."""

import subprocess
import sys

# Runs commands in an interpreter that cannot import some packages; the first failure sets the exit code.
WITHOUT = """
import sys

class Finder:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {missing!r} else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Finder, sys.meta_path)
from sparsecbm.cli.app import main
for arguments in {commands!r}:
    sys.argv = ["sparsecbm", *arguments]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


def run_without(missing, *commands, cwd):
    code = WITHOUT.format(missing=set(missing), commands=[list(map(str, command)) for command in commands])
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)
