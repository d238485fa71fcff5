"""The tasks of the flows: a stage, the record in MLflow, the gates, the promotion.

Import this module after `launch.prepare`, since Prefect reads its settings on import.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed, State

from sparsecbm.base.errors import DataError, SparseCBMError
from sparsecbm.base.params import load_params, load_run_params
from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace
from sparsecbm.orchestration import publish
from sparsecbm.orchestration.calls import run_logger
from sparsecbm.orchestration.heartbeat import heartbeat
from sparsecbm.orchestration.screen import Screen
from sparsecbm.orchestration.stage import REFUSED, run_stage
from sparsecbm.pipeline.graph import run_dvc
from sparsecbm.promote.ledger import HOLD, PROMOTE, REJECT, Ledger
from sparsecbm.promote.transaction import UnchangedError

if TYPE_CHECKING:
    from sparsecbm.promote.service import PromotionService

Mode = Literal["auto", "gate-only", "off"]

SKIPPED = "Skipped"  # nothing to record: tracking is off, or stages are out of date
POSTPONED = "Postponed"  # the tracking server does not answer
PROMOTED = "Promoted"
HELD = "Held"
REJECTED = "Rejected"
UNCHANGED = "Unchanged"
JUDGED = "Judged"  # the verdict is PROMOTE, but only judging was requested
STATE_OF_VERDICT = {PROMOTE: JUDGED, HOLD: HELD, REJECT: REJECTED}


def _should_retry(_task: object, _run: object, state: State) -> bool:
    """A crash may be temporary (memory, network, a lock); a refusal is not."""
    return state.name != REFUSED


# A task that a crash repeats once, and whose runs are named by its argument `name`.
retried_task = task(
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=_should_retry,
    task_run_name="{name}",
)


@retried_task
def stage(name: str, root: str) -> State:
    """Run one stage with DVC; the name of the state tells whether it ran."""
    with heartbeat(name, _line_printer()) as print_and_note:
        outcome = run_stage(Workspace(Path(root)), name, print_and_note)
    if outcome.good:
        return Completed(name=outcome.state, message=f"{name}: {outcome.state}")
    message = redacted(outcome.message)
    run_logger().error(message)
    return Failed(name=outcome.state, message=message)


@retried_task
def label(name: str, root: str) -> State:
    """Let one machine label what lacks its label."""
    from sparsecbm.annotate.labelling import label_texts

    workspace, print_line = Workspace(Path(root)), _line_printer()
    try:
        with heartbeat(name, print_line):
            outcome = label_texts(workspace, load_run_params(workspace), name)
    except SparseCBMError as error:
        return Failed(name=REFUSED, message=f"error: {error}")
    for note in outcome.notes:
        print_line(note)
    counts = f"{outcome.labelled:,} labels given, {outcome.kept:,} kept, {outcome.abstained:,} left open"
    if outcome.stopped is not None:
        return Failed(name=REFUSED, message=f"error: {name} stopped early ({counts}): {outcome.stopped}")
    return Completed(name="Labelled" if outcome.labelled else "UpToDate", message=counts)


def _line_printer() -> Callable[[str], None]:
    """Print lines on the screen and in the log of the running task; other threads may call it."""
    logger, screen = run_logger(), Screen()

    def print_line(line: str) -> None:
        line = redacted(line)
        logger.info(line)
        screen.line(line)

    return print_line


def keep_labels(workspace: Workspace) -> None:
    """Put the tables of machine labels under DVC's versions.

    Raises:
        DataError: DVC refuses.
    """
    from sparsecbm.annotate.labels import label_paths

    paths = label_paths(workspace.annotations).values()
    tables = [path.relative_to(workspace.root).as_posix() for path in paths]
    if not tables:
        return
    result = run_dvc(workspace.root, "add", "--quiet", *tables)
    if result.returncode != 0:
        raise DataError(f"dvc add failed: {redacted(result.stderr.strip() or result.stdout.strip())}")


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
        return Completed(
            name=SKIPPED,
            message="nothing to record in MLflow yet: other stages have not run or are out of date",
        )
    publish.mlflow_run(link)
    return Completed(
        name="Recorded" if link.written else "UpToDate", message=f"{link.note}: {page_hint(workspace, link.url)}"
    )


@task(cache_policy=NO_CACHE, persist_result=False)
def gate(root: str, version: int | None = None) -> State[Ledger]:
    """Register the model and judge it against the champion; the name of the state is the verdict."""
    try:
        ledger = _promotion_service(root).gate(version)
    except UnchangedError as error:
        return Completed(name=UNCHANGED, message=str(error))
    except SparseCBMError as error:
        return Failed(name=REFUSED, message=f"error: {error}")
    publish.promotion_ledger(ledger)
    return Completed(name=STATE_OF_VERDICT[ledger.verdict], message="; ".join(ledger.reasons), data=ledger)


@task(cache_policy=NO_CACHE, persist_result=False)
def promote(root: str, ledger: Ledger, force: str = "") -> State:
    """Make the judged version the champion if the verdict allows it; the history records the result."""
    try:
        entry = _promotion_service(root).promote(ledger, force)
    except UnchangedError as error:
        return Completed(name=UNCHANGED, message=str(error))
    except SparseCBMError as error:
        return Failed(name=REFUSED, message=f"error: {error}")
    if entry.action == "promote":
        return Completed(name=PROMOTED, message=f"version {entry.version} is the champion: {entry.reason}")
    return Completed(name=STATE_OF_VERDICT[ledger.verdict], message=f"version {entry.version}: {entry.reason}")


def as_flow_state(state: State) -> State:
    """The state of a task as the state of a flow."""
    kind = Completed if state.is_completed() else Failed
    return kind(name=state.name, message=state.message)


def _promotion_service(root: str) -> "PromotionService":
    from sparsecbm.promote.service import PromotionService  # imports torch, which a flow that ends early does not need

    workspace = Workspace(Path(root))
    return PromotionService.open(workspace, load_params(workspace.params))
