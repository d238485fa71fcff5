"""The flow `retrain`: one task a stage, in the order of `dvc.yaml`, then the record in MLflow.

`python -m flows.retrain [--debug] [STAGE...]` runs it here; a worker runs the same flow from a deployment.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.settings import configure
from sparsecbm.errors import SparseCBMError
from sparsecbm.workspace import Workspace

DEBUG = "--debug" in sys.argv or os.environ.get("SPARSECBM_DEBUG") == "1"
if "prefect" not in sys.modules:
    try:
        configure(Workspace.find(), DEBUG)
    except SparseCBMError as error:
        sys.exit(f"error: {error}")

from prefect import flow, get_run_logger, task  # noqa: E402  (its settings come first)
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.runtime import flow_run  # noqa: E402
from prefect.states import Completed, Failed, State  # noqa: E402

from flows import publish  # noqa: E402
from flows.screen import Screen  # noqa: E402
from flows.stage import REFUSED, run_stage  # noqa: E402
from sparsecbm.flowlock import only_flow  # noqa: E402
from sparsecbm.pipeline import stage_order  # noqa: E402

SKIPPED = "Skipped"  # nothing to record: tracking is off, or stages are left to run
POSTPONED = "Postponed"  # the tracking server does not answer


def _worth_retrying(_task: object, _run: object, state: State) -> bool:
    """A crash may pass (memory, a network, a lock); a refusal will not."""
    return state.name != REFUSED


@task(
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=_worth_retrying,
    task_run_name="{name}",
)
def stage(name: str, root: str) -> State:
    """Run one stage by DVC; the state's name says whether it ran."""
    logger, screen = get_run_logger(), Screen()

    def say(line: str) -> None:
        logger.info(line)
        screen.line(line)

    outcome = run_stage(Workspace(Path(root)), name, say)
    if outcome.good:
        return Completed(name=outcome.state, message=f"{name}: {outcome.state}")
    logger.error(outcome.message)
    return Failed(name=outcome.state, message=outcome.message)


@task(cache_policy=NO_CACHE, persist_result=False)
def track(root: str) -> State:
    """Write the record of this pipeline into MLflow."""
    from sparsecbm.params import load_params
    from sparsecbm.track.record import record
    from sparsecbm.track.store import TrackingDown

    workspace = Workspace(Path(root))
    params = load_params(workspace.params)
    if not params.track.enabled:
        return Completed(name=SKIPPED, message="tracking is off (track.enabled)")
    try:
        link = record(workspace, params)
    except TrackingDown as error:
        return Completed(name=POSTPONED, message=f"{error}; `sparsecbm track` writes the record later")
    if link is None:
        return Completed(name=SKIPPED, message="stages are left to run; the record comes with the last one")
    publish.mlflow_run(link)
    return Completed(name="Recorded" if link.written else "UpToDate", message=f"{link.note}: {link.url}")


@flow(name="retrain", persist_result=False, validate_parameters=True)
def retrain(stages: list[str] | None = None, root: str | None = None) -> State:
    """Bring the pipeline up to date: the named stages and what they need, or all of them.

    The flow fails with the first stage that fails; what ran before it is kept by DVC.
    """
    workspace = Workspace(Path(root)) if root else Workspace.find()
    screen, started = Screen(), time.monotonic()
    try:
        with only_flow(workspace), _flow_run_in_environment():
            order = stage_order(workspace, stages or ())
            for number, name in enumerate(order, start=1):
                screen.begin(number, len(order), name)
                begun = time.monotonic()
                state = stage.with_options(name=name)(name, str(workspace.root), return_state=True)
                if not state.is_completed():
                    return Failed(name=state.name, message=state.message)
                screen.end(name, state.name, time.monotonic() - begun)
            publish.validation_report(workspace)
            publish.metrics_table(workspace)
            publish.report_page(workspace)
            recorded = track(str(workspace.root), return_state=True)
            screen.end("track", recorded.name, None, recorded.message)
            if not recorded.is_completed():
                return Failed(message=f"error: the record in MLflow failed: {recorded.message}")
    except SparseCBMError as error:
        return Failed(name=REFUSED, message=f"error: {error}")
    return Completed(message=f"all {len(order)} stages are up to date after {time.monotonic() - started:.0f} s")


@contextmanager
def _flow_run_in_environment() -> Iterator[None]:
    """Let stages tag their live runs with the flow run."""
    os.environ["SPARSECBM_FLOW_RUN_ID"] = str(flow_run.id or "")
    try:
        yield
    finally:
        del os.environ["SPARSECBM_FLOW_RUN_ID"]


def main(arguments: list[str]) -> int:
    """Run the flow here; 0 when all stages are up to date, 1 with one message otherwise, 130 when interrupted."""
    screen = Screen()
    if DEBUG:
        os.environ["SPARSECBM_DEBUG"] = "1"
    try:
        state = retrain([name for name in arguments if name != "--debug"], return_state=True)
    except KeyboardInterrupt:
        screen.failure("stopped; the next run goes on from here")
        return 130
    except Exception as error:  # Prefect itself: no server, a full disk
        if DEBUG:
            raise
        screen.failure(f"error: Prefect could not run the flow: {error} (--debug shows the trace)")
        return 1
    if state.is_completed():
        screen.success(state.message)
        return 0
    screen.failure(state.message or "error: the flow failed")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
