"""`python -m flows.serve CRON` runs the flow `retrain` on a schedule in this process, without a worker.

It works in this workspace, uncommitted edits included; the deployments in `prefect.yaml` work in a clone.
"""

import os
import sys

from flows.settings import answers, configure
from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.workspace import Workspace


class NoServerError(SparseCBMError):
    """No Prefect server is running, so no schedule would fire."""


def serve(workspace: Workspace, cron: str) -> None:
    """Run the flow on a schedule until the process is stopped.

    Raises:
        NoServerError: no server answers; Prefect would poll forever and no schedule would fire.
    """
    configure(workspace)
    api = os.environ.get("PREFECT_API_URL", "")
    if not (api and answers(f"{api}/health")):
        raise NoServerError(
            f"no Prefect server answers{f' at {api}' if api else ''}, so no schedule would ever fire; "
            "start one with `make up`, or set PREFECT_API_URL"
        )
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
