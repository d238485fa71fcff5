"""`python -m flows.serve CRON` runs the flow `retrain` on a schedule in this process, without a worker.

It works in this workspace, uncommitted edits included; the deployments in `prefect.yaml` work in a clone.
"""

import os
import sys

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.workspace import Workspace
from sparsecbm.orchestration.settings import configure, require_server


def serve(workspace: Workspace, cron: str) -> None:
    """Run the flow on a schedule until the process is stopped.

    Raises:
        NoServerError: no server answers; Prefect would poll forever and no schedule would fire.
    """
    configure(workspace)
    require_server()
    os.chdir(workspace.root)
    from flows.retrain import retrain

    retrain.serve(name="served", cron=cron, limit=1, parameters={"promote": "auto"})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m flows.serve CRON, such as '0 3 * * *'")
    try:
        serve(Workspace.find(), sys.argv[1])
    except SparseCBMError as error:
        sys.exit(f"error: {error}")
