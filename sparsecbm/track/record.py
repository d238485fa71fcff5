"""The record of a finished pipeline in MLflow, written from the output files of its stages."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import read_json
from sparsecbm.base.params import Params
from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.graph import pending, stage_order
from sparsecbm.pipeline.keys import stage_key
from sparsecbm.track.headline import NOTE_TAG, headline
from sparsecbm.track.lineage import LOCK_TAG, code_tags, lock_sha256, result_tags
from sparsecbm.track.metric_names import grouped_numbers, param_names
from sparsecbm.track.probe import TrackingUnavailableError, first_line
from sparsecbm.track.runs import TRAINING, add_params, add_points, add_tags, create_run, find_run, key_tag
from sparsecbm.track.store import Store, open_store, translated_errors

if TYPE_CHECKING:
    from mlflow.entities import Run

RECORD_TAG = "sparsecbm.record"
FOLDERS = ("metrics", "plots", "reports", "models/dense", "models/sparse")
FILES = ("data/params.json", "params.yaml", "dvc.yaml", "dvc.lock")
# Files of the run, but not metrics to plot or compare: counts of rows, and a selection of the other files.
UNPLOTTED = ("validate", "annotate", "summary")


@dataclass(frozen=True)
class RunLink:
    """A run in MLflow; `written` is False if its record was complete already."""

    run_id: str
    name: str
    url: str
    written: bool

    @property
    def note(self) -> str:
        return f"MLflow run {self.name!r} " + ("written" if self.written else "was complete")


def record(workspace: Workspace, params: Params) -> RunLink | None:
    """Write parameters, metrics, curves, plots, reports, checkpoint and lineage; None if stages have not run.

    The same `dvc.lock` always gives the same run. An interrupted record is completed.

    Raises:
        TrackingUnavailableError: MLflow does not answer, or a request fails.
    """
    lock = lock_sha256(workspace)
    if lock is None or pending(workspace):
        return None
    store = open_store(workspace, params.track.experiment)
    try:
        with translated_errors(store.uri):
            return _write(store, workspace, params, lock)
    except OSError as error:
        raise TrackingUnavailableError(f"MLflow at {redacted(store.uri)} failed: {first_line(error)}") from error


def recorded_run(store: Store, workspace: Workspace) -> "Run | None":
    """The run with the complete record of the workspace's present state, or None."""
    lock = lock_sha256(workspace)
    run_id = find_run(store, LOCK_TAG, lock) if lock else None
    run = store.client.get_run(run_id) if run_id else None
    return run if run and run.data.tags.get(RECORD_TAG) == "complete" else None


def _write(store: Store, workspace: Workspace, params: Params, lock: str) -> RunLink:
    name = f"{params.profile or params.source.name} {lock[:8]}"
    run_id = find_run(store, LOCK_TAG, lock)
    if run_id and store.client.get_run(run_id).data.tags.get(RECORD_TAG) == "complete":
        return RunLink(run_id, name, store.page(run_id), written=False)

    tags = {**code_tags(workspace), **result_tags(workspace)}
    for stage in TRAINING:
        if stage in stage_order(workspace):
            tags[key_tag(stage)] = stage_key(workspace, stage)
            run_id = run_id or find_run(store, key_tag(stage), tags[key_tag(stage)], without_lock=True)
    if run_id is None:
        run_id = create_run(store, name, tags)
    add_tags(store, run_id, {**tags, "mlflow.runName": name, **_note(workspace)})
    add_params(store, run_id, param_names(params.model_dump(mode="json", by_alias=True)))
    add_points(store, run_id, _points(workspace))
    workspace.promotion_page.unlink(missing_ok=True)  # it belongs to the model that was judged before
    for folder in FOLDERS:
        if (workspace.root / folder).is_dir():
            store.client.log_artifacts(run_id, str(workspace.root / folder), folder)
    for file in FILES:
        if (workspace.root / file).is_file():
            store.client.log_artifact(run_id, str(workspace.root / file))
    store.client.set_terminated(run_id, "FINISHED")
    add_tags(store, run_id, {RECORD_TAG: "complete"})
    return RunLink(run_id, name, store.page(run_id), written=True)


def _note(workspace: Workspace) -> dict[str, str]:
    """The run's description: the main scores and the path of the report; empty without both."""
    path, page = workspace.metrics("evaluate"), workspace.report
    parts = [headline(read_json(path)) if path.is_file() else ""]
    if page.is_file():
        parts.append(f"The whole report is among the artifacts: `{page.relative_to(workspace.root).as_posix()}`")
    note = "\n\n".join(part for part in parts if part)
    return {NOTE_TAG: note} if note else {}


def _points(workspace: Workspace) -> list[tuple[int, dict[str, float]]]:
    """The numbers in `metrics/STAGE.json` as `STAGE/name` at step 0, and the training curves at their steps.

    Each further split is a group: `evaluate/validation/label.accuracy` next to `evaluate/label.accuracy`.
    """
    points = []
    for path in sorted((workspace.root / "metrics").glob("*.json")):
        stage = path.stem
        if stage in UNPLOTTED:
            continue
        content = read_json(path)
        if not isinstance(content, dict):
            raise DataError(f"{path} must hold a mapping")
        for split, scores in {**content.pop("splits", {}), "dense": content.pop("dense", {})}.items():
            points.append((0, grouped_numbers(stage, scores, split)))
        points.append((0, grouped_numbers(stage, content)))
        for row in (*content.get("curves", ()), *content.get("epochs", ()), *content.get("events", ())):
            figures = {name: value for name, value in row.items() if name != "step"}
            points.append((row["step"], grouped_numbers(stage, figures)))
    return points
