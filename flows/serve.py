"""`python -m flows.serve CRON`: the flow `retrain` on a schedule in this process, for those who want no worker.

It works in this workspace as it is; the deployments of `prefect.yaml` work in a clone.
"""

import os
import sys

from flows.settings import answers, configure
from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.workspace import Workspace


class NoServerError(SparseCBMError):
    """There is no Prefect server that would schedule anything."""


def serve(workspace: Workspace, cron: str) -> None:
    """Wait for scheduled runs and run them, until stopped.

    Raises:
        NoServerError: without a server of its own Prefect would poll here for ever, and no schedule would fire.
    """
    configure(workspace)
    api = os.environ.get("PREFECT_API_URL", "")
    if not (api and answers(f"{api}/health")):
        raise NoServerError(
            f"no Prefect server answers{f' at {api}' if api else ''}, so no schedule would ever fire; "
            "start one by `make up`, or name one by PREFECT_API_URL"
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
