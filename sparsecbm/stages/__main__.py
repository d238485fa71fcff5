"""`python -m sparsecbm.stages NAME`: run one stage here; DVC calls this."""

import os
import sys

# Threads that wait by spinning burn the time that others on a shared machine could compute in. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.workspace import Workspace
from sparsecbm.stages import STAGES, run_stage


def main(arguments: list[str]) -> int:
    """Run the named stage; a fault in the input prints one message and gives exit code 1."""
    debug = "--debug" in arguments or os.environ.get("SPARSECBM_DEBUG") == "1"
    names = [argument for argument in arguments if argument != "--debug"]
    if len(names) != 1:
        print(f"usage: python -m sparsecbm.stages [--debug] {{{','.join(STAGES)}}}", file=sys.stderr)
        return 2
    try:
        run_stage(names[0], Workspace.find())
    except SparseCBMError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
