"""Curves while a stage trains. Best effort: a tracking server that is down costs seconds, never the training."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sparsecbm.base.flat import flat, grouped_numbers
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.keys import stage_key, stage_params
from sparsecbm.track.lineage import code_tags
from sparsecbm.track.runs import TRAINING, add_params, add_points, add_tags, create_run, find_by_tag, key_tag
from sparsecbm.track.store import Store, TrackingUnavailableError, first_line, open_store

FLUSH_SECONDS = 2
ANSWER_SECONDS = 3

Log = Callable[[int, dict[str, float]], None]


class LiveRun:
    """A callback that sends metrics to a run, some seconds' worth at a time, and falls silent at the first fault."""

    def __init__(self, store: Store | None, run_id: str | None, stage: str) -> None:
        self.run_id = run_id
        self._store = store
        self._stage = stage
        self._points: list[tuple[int, dict[str, float]]] = []
        self._sent = time.monotonic()

    def __call__(self, step: int, metrics: dict[str, float]) -> None:
        """Log metrics at a step; one that the run already has, from before an interruption, is not doubled."""
        if self._store is None:
            return
        self._points.append((step, grouped_numbers(self._stage, metrics)))
        if time.monotonic() - self._sent >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what has gathered."""
        if self._store is None or not self._points:
            return
        points, self._points = self._points, []
        self._attempt(lambda: add_points(self._store, self.run_id, points))
        self._sent = time.monotonic()

    def files(self, folder: Path, name: str) -> None:
        """Log a folder's files as artifacts under a name."""
        if self._store is not None:
            self._attempt(lambda: self._store.client.log_artifacts(self.run_id, str(folder), name))

    def close(self, status: str) -> None:
        """Send the rest and say how the stage ended."""
        self.flush()
        if self._store is not None:
            self._attempt(lambda: self._store.client.set_terminated(self.run_id, status))

    def _attempt(self, send: Callable[[], object]) -> None:
        try:
            send()
        except Exception as error:  # MLflow raises many kinds; none may end the training
            _tell(error)
            self._store = None


@contextmanager
def live_run(params: Params, workspace: Workspace, stage: str) -> Iterator[LiveRun]:
    """Open the run that belongs to the stage's inputs, the same one after an interruption, for live metrics."""
    log = LiveRun(None, None, stage)
    if params.track.enabled:
        try:
            log = _open(params, workspace, stage)
        except Exception as error:  # as above
            _tell(error)
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
    run_id = find_by_tag(store, key_tag(stage), key)
    for earlier in TRAINING[TRAINING.index(stage) + 1 :]:
        # The run in which the stages before were trained just now, unless it is a finished record already.
        tag = key_tag(earlier)
        run_id = run_id or find_by_tag(store, tag, stage_key(workspace, earlier), without_lock=True)
    if run_id is None:
        run_id = create_run(store, f"{params.profile or params.source.name} {key[:8]}", tags)
    else:
        store.client.update_run(run_id, status="RUNNING")
        add_tags(store, run_id, tags)
    add_params(store, run_id, flat(stage_params(workspace, stage)))
    return LiveRun(store, run_id, stage)


def _tell(error: Exception) -> None:
    fault = str(error) if isinstance(error, TrackingUnavailableError) else f"MLflow broke off: {first_line(error)}"
    print(f"{fault}; training goes on, `sparsecbm track` writes the record later", file=sys.stderr, flush=True)
