"""`python -m sparsecbm.stages NAME`: run one stage in this workspace, as DVC does.

No stage depends on this module, so it may draw: the page about the data is needed at once, since the stage `report`
runs much later, and not at all where the data is refused.
"""

import os
import sys

# Threads that wait by spinning take time from other work on a shared machine. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from sparsecbm.base.errors import RefusedDataError
from sparsecbm.base.fault_boundary import exit_code
from sparsecbm.base.files import write_text
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.installed_code import check_code
from sparsecbm.stages import STAGES, run_stage


def main(arguments: list[str]) -> int:
    """Run the named stage; a fault prints one message and gives exit code 1."""
    if "--debug" in arguments:
        os.environ["SPARSECBM_DEBUG"] = "1"
    names = [argument for argument in arguments if argument != "--debug"]
    if len(names) != 1:
        print(f"usage: python -m sparsecbm.stages [--debug] {{{','.join(STAGES)}}}", file=sys.stderr)
        return 2
    return exit_code(lambda: _run(names[0], Workspace.find()))


def _run(name: str, workspace: Workspace) -> None:
    """Run a stage. After `validate`, write the page about the data; where it refuses them, with all bad rows."""
    # The first stage always runs, so it checks the code of those that DVC may skip.
    check_code(workspace.root, STAGES if name == STAGES[0] else (name,))
    try:
        run_stage(name, workspace)
    except RefusedDataError as error:
        from sparsecbm.data.tables import read_manifest
        from sparsecbm.report.validation_page import validation_page

        page = workspace.validation_page
        write_text(page, validation_page(error.result, read_manifest(workspace.ingested)))
        message = f"{error}\nAll bad rows are listed in {page.relative_to(workspace.root)}"
        raise RefusedDataError(message, error.result) from None
    if name == "validate":
        from sparsecbm.report.data_page import write_validation_page

        write_validation_page(workspace)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
