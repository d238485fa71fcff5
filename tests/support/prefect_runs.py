"""Records of a Prefect server about a flow run."""

import time

WAIT = 60  # seconds


def task_runs(flow_run_id):
    """Return the task runs of a finished flow run; the server may write their last states some time after it."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    deadline = time.monotonic() + WAIT
    with get_client(sync_client=True) as client:
        while True:
            runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])))
            if all(run.state.is_final() for run in runs) or time.monotonic() > deadline:
                return runs
            time.sleep(0.2)


def artifacts(flow_run_id):
    """Return the artifacts of a flow run: key -> data."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        response = client.request("POST", "/artifacts/filter", json={"limit": 200})
    rows = response.json()
    return {row["key"]: row["data"] for row in rows if row["flow_run_id"] == str(flow_run_id)}
