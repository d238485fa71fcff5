"""Training curves, sent while a stage trains. A tracking server that is down delays training by seconds only."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.keys import stage_key, stage_params
from sparsecbm.track.lineage import code_tags
from sparsecbm.track.metric_names import grouped_numbers, param_names
from sparsecbm.track.probe import TrackingUnavailableError, first_line
from sparsecbm.track.runs import TRAINING, add_params, add_points, add_tags, create_run, find_run, key_tag
from sparsecbm.track.store import Store, open_store
from sparsecbm.train.processes import writes

FLUSH_SECONDS = 2
ANSWER_SECONDS = 3

Log = Callable[[int, dict[str, float]], None]


class LiveRun:
    """A callback that sends metrics to a run every few seconds; it stops sending after the first failure."""

    def __init__(self, store: Store | None, run_id: str | None, stage: str) -> None:
        self.run_id = run_id
        self._store = store
        self._stage = stage
        self._points: list[tuple[int, dict[str, float]]] = []
        self._sent = time.monotonic()

    def __call__(self, step: int, metrics: dict[str, float]) -> None:
        """Log metrics at a step; points that the run has from before an interruption are not sent again."""
        if self._store is None:
            return
        self._points.append((step, grouped_numbers(self._stage, metrics)))
        if time.monotonic() - self._sent >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send the collected points."""
        if self._store is None or not self._points:
            return
        points, self._points = self._points, []
        self._attempt(lambda: add_points(self._store, self.run_id, points))
        self._sent = time.monotonic()

    def files(self, folder: Path, name: str) -> None:
        """Log the files of a folder as artifacts under a name."""
        if self._store is not None:
            self._attempt(lambda: self._store.client.log_artifacts(self.run_id, str(folder), name))

    def close(self, status: str) -> None:
        """Send the remaining points and set the final status of the run."""
        self.flush()
        if self._store is not None:
            self._attempt(lambda: self._store.client.set_terminated(self.run_id, status))

    def _attempt(self, send: Callable[[], object]) -> None:
        try:
            send()
        except Exception as error:  # MLflow raises many kinds of errors; none may stop the training
            _warn(error)
            self._store = None


@contextmanager
def live_run(params: Params, workspace: Workspace, stage: str) -> Iterator[LiveRun]:
    """Open the run that belongs to the stage's inputs; after an interruption it is the same run."""
    log = LiveRun(None, None, stage)
    if params.track.enabled and writes():
        try:
            log = _open(params, workspace, stage)
        except Exception as error:  # as above
            _warn(error)
    try:
        yield log
    except BaseException:
        log.close("KILLED")
        raise
    log.close("FINISHED")


def _open(params: Params, workspace: Workspace, stage: str) -> LiveRun:
    key = stage_key(workspace, stage)
    store = open_store(workspace, params.track.experiment, ANSWER_SECONDS)
    tags = {key_tag(stage): key, **code_tags(workspace)}
    run_id = find_run(store, key_tag(stage), key)
    for earlier in TRAINING[TRAINING.index(stage) + 1 :]:
        # The run of the earlier training stage, unless it is a finished record already.
        tag = key_tag(earlier)
        run_id = run_id or find_run(store, tag, stage_key(workspace, earlier), without_lock=True)
    if run_id is None:
        run_id = create_run(store, f"{params.profile or params.source.name} {key[:8]}", tags)
    else:
        store.client.update_run(run_id, status="RUNNING")
        add_tags(store, run_id, tags)
    add_params(store, run_id, param_names(stage_params(workspace, stage)))
    return LiveRun(store, run_id, stage)


def _warn(error: Exception) -> None:
    fault = str(error) if isinstance(error, TrackingUnavailableError) else f"MLflow failed: {first_line(error)}"
    print(f"{fault}; training continues, `sparsecbm track` writes the record later", file=sys.stderr, flush=True)
