"""The flow `retrain`: one task for each stage in the order of `dvc.yaml`, the record in MLflow, gates and promotion.

`python -m flows.retrain [--debug] [--promote=MODE] [STAGE...]` runs it here; a worker runs the same flow as a
deployment.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.endings import PIPE_CLOSED, PipeClosed, Terminated, begin_process, discard_output
from flows.settings import configure
from flows.temporary_server import TemporaryServer
from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.workspace import Workspace

DEBUG = "--debug" in sys.argv or os.environ.get("SPARSECBM_DEBUG") == "1"
SERVER: TemporaryServer | None = None  # starts while the imports below run
if "prefect" not in sys.modules:
    try:
        configure(Workspace.find(), DEBUG)
        if __name__ == "__main__":
            begin_process()
            SERVER = None if os.environ.get("PREFECT_API_URL") else TemporaryServer(Workspace.find())
    except (SparseCBMError, OSError) as error:
        sys.exit(f"error: {error}")

from prefect import flow, task  # noqa: E402  (Prefect reads its settings on import)
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.runtime import flow_run  # noqa: E402
from prefect.states import Completed, Failed, State  # noqa: E402

from flows import publish  # noqa: E402
from flows.calls import call, run_logger, without_server  # noqa: E402
from flows.clone import propose_results  # noqa: E402
from flows.heartbeat import heartbeat  # noqa: E402
from flows.notify import notify, notify_without_server  # noqa: E402
from flows.processes import find_processes, stage_mark, stop  # noqa: E402
from flows.promotion import Mode, as_flow_state, gate_and_promote  # noqa: E402
from flows.screen import Screen  # noqa: E402
from flows.stage import REFUSED, run_stage  # noqa: E402
from flows.summary import duration, score_lines  # noqa: E402
from sparsecbm.base.files import content_hash  # noqa: E402
from sparsecbm.base.params import load_run_params  # noqa: E402
from sparsecbm.base.redaction import redacted  # noqa: E402
from sparsecbm.pipeline.graph import stage_order  # noqa: E402
from sparsecbm.pipeline.lock import flow_lock  # noqa: E402

SKIPPED = "Skipped"  # nothing to record: tracking is off, or stages are out of date
POSTPONED = "Postponed"  # the tracking server does not answer


def _should_retry(_task: object, _run: object, state: State) -> bool:
    """A crash may be temporary (memory, network, a lock); a refusal is not."""
    return state.name != REFUSED


@task(
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=_should_retry,
    task_run_name="{name}",
)
def stage(name: str, root: str) -> State:
    """Run one stage with DVC; the name of the state tells whether it ran."""
    logger, screen = run_logger(), Screen()

    def print_line(line: str) -> None:
        line = redacted(line)
        logger.info(line)
        screen.line(line)

    with heartbeat(name, print_line) as print_and_note:
        outcome = run_stage(Workspace(Path(root)), name, print_and_note)
    if outcome.good:
        return Completed(name=outcome.state, message=f"{name}: {outcome.state}")
    message = redacted(outcome.message)
    logger.error(message)
    return Failed(name=outcome.state, message=message)


@task(cache_policy=NO_CACHE, persist_result=False)
def track(root: str) -> State:
    """Write the record of this pipeline to MLflow."""
    from sparsecbm.track.pages import page_hint
    from sparsecbm.track.record import record
    from sparsecbm.track.store import TrackingUnavailableError

    workspace = Workspace(Path(root))
    params = load_run_params(workspace)
    if not params.track.enabled:
        return Completed(name=SKIPPED, message="tracking is off (track.enabled)")
    try:
        link = record(workspace, params)
    except TrackingUnavailableError as error:
        return Completed(name=POSTPONED, message=f"{error}; `sparsecbm track` writes the record later")
    if link is None:
        return Completed(name=SKIPPED, message="some stages are out of date; a complete run writes the record")
    publish.mlflow_run(link)
    return Completed(
        name="Recorded" if link.written else "UpToDate", message=f"{link.note}: {page_hint(workspace, link.url)}"
    )


@flow(
    name="retrain", persist_result=False, validate_parameters=True,
    on_completion=[notify], on_failure=[notify], on_crashed=[notify],
)  # fmt: skip
def retrain(
    stages: list[str] | None = None, root: str | None = None, promote: Mode = "off", propose: bool = False
) -> State:
    """Bring the pipeline up to date: the named stages and what they need, or all stages.

    The flow fails with the first stage that fails; DVC keeps the results of earlier stages.

    Args:
        promote: `gate-only` judges the model at the end; `auto` also promotes or refuses it
        propose: push the results to a branch of the origin
    """
    workspace = Workspace(Path(root)) if root else Workspace.find()
    screen, started = Screen(), time.monotonic()
    try:
        with flow_lock(workspace), _flow_run_in_environment():
            stop(
                find_processes(stage_mark(workspace))
            )  # left of a flow that was killed: only the lock's holder runs any
            order, code = stage_order(workspace, stages or ()), _code_hashes(workspace)
            for number, name in enumerate(order, start=1):
                screen.begin(number, len(order), name)
                begun = time.monotonic()
                state = call(stage, name, str(workspace.root), name=name)
                if not state.is_completed():
                    return Failed(name=state.name, message=state.message)
                screen.end(name, state.name, time.monotonic() - begun)
            publish.validation_report(workspace)
            publish.metrics_table(workspace)
            publish.report_page(workspace)
            with heartbeat("track", screen.line):
                recorded = call(track, str(workspace.root))
            screen.end("track", recorded.name, None, recorded.message)
            if not recorded.is_completed():
                return Failed(message=f"error: the record in MLflow failed: {recorded.message}")
            _show_results(workspace, order, screen)
            if _code_hashes(workspace) != code:
                return Failed(name=REFUSED, message="error: code was edited while the flow ran; nothing is promoted")
            if propose:
                screen.line(propose_results(workspace))
            if promote != "off":
                if recorded.name in (SKIPPED, POSTPONED):
                    return Completed(name=recorded.name, message=f"nothing to judge: {recorded.message}")
                return as_flow_state(gate_and_promote(workspace.root, promote, screen))
    except SparseCBMError as error:
        return Failed(name=REFUSED, message=f"error: {error}")
    return Completed(message=f"all {len(order)} stages are up to date after {duration(time.monotonic() - started)}")


def _show_results(workspace: Workspace, order: list[str], screen: Screen) -> None:
    """Print what the stages of this run made."""
    lines = score_lines(workspace) if "evaluate" in order else []
    if "report" in order and workspace.report.is_file():
        lines.append(f"report: {workspace.report.relative_to(workspace.root)}")
    for line in lines:
        screen.result(line)


def _code_hashes(workspace: Workspace) -> dict[str, str]:
    """A hash of each source folder."""
    folders = [workspace.root / name for name in ("sparsecbm", "flows")]
    return {folder.name: content_hash(folder) for folder in folders if folder.is_dir()}


@contextmanager
def _flow_run_in_environment() -> Iterator[None]:
    """Pass the id of the flow run to the stages, which tag their MLflow runs with it."""
    os.environ["SPARSECBM_FLOW_RUN_ID"] = str(flow_run.id or "")
    try:
        yield
    finally:
        del os.environ["SPARSECBM_FLOW_RUN_ID"]


def main(arguments: list[str]) -> int:
    """Run the flow here; return 0 if all stages are up to date, 1 after an error, else 128 + the number of a signal."""
    screen = Screen()
    if DEBUG:
        os.environ["SPARSECBM_DEBUG"] = "1"
    stages = [name for name in arguments if not name.startswith("--")]
    promote = next((name.removeprefix("--promote=") for name in arguments if name.startswith("--promote=")), "off")
    try:
        state = _run(stages, promote, screen)
    except PipeClosed:
        discard_output()
        return PIPE_CLOSED
    except KeyboardInterrupt as ending:
        word = "terminated" if isinstance(ending, Terminated) else "interrupted"
        screen.failure(f"{word}; the next run continues from here")
        return ending.exit_code if isinstance(ending, Terminated) else 130
    except Exception as error:  # an error of Prefect itself, such as no server or a full disk
        if DEBUG:
            raise
        screen.failure(f"error: Prefect could not run the flow: {error} (--debug shows the trace)")
        return 1
    if state.is_completed():
        screen.success(state.message)
        return 0
    screen.failure(state.message or "error: the flow failed")
    return 1


def _run(stages: list[str], promote: Mode, screen: Screen) -> State:
    """Run the flow with Prefect; if its server does not start, run the same steps without it."""
    if SERVER is None or SERVER.wait():
        return retrain(stages, promote=promote, return_state=True)
    screen.line(f"Prefect's server does not start (see {SERVER.log}); this run goes on without it, so no page shows it")
    with without_server():
        state = retrain.fn(stages, promote=promote)
        notify_without_server(retrain, state)
        return state


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
