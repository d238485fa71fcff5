"""The record of a finished pipeline in MLflow, written from the files that the stages left."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import read_json
from sparsecbm.base.flat import flat, grouped_numbers
from sparsecbm.base.params import Params
from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.graph import pending, stage_order
from sparsecbm.pipeline.keys import stage_key
from sparsecbm.track.headline import NOTE_TAG, headline
from sparsecbm.track.lineage import LOCK_TAG, code_tags, lock_sha256, result_tags
from sparsecbm.track.runs import TRAINING, add_params, add_points, add_tags, create_run, find_by_tag, key_tag
from sparsecbm.track.store import Store, TrackingUnavailableError, first_line, open_store

if TYPE_CHECKING:
    from mlflow.entities import Run

RECORD_TAG = "sparsecbm.record"
FOLDERS = ("metrics", "plots", "reports", "models/dense", "models/sparse")
FILES = ("params.yaml", "dvc.yaml", "dvc.lock")
COUNTS = ("validate", "annotate")  # stages whose figures count rows: files of the run, but nothing to plot or compare


@dataclass(frozen=True)
class RunLink:
    """A run in MLflow; `written` is False where it was complete already."""

    run_id: str
    name: str
    url: str
    written: bool

    @property
    def note(self) -> str:
        return f"MLflow run {self.name!r} " + ("written" if self.written else "was complete")


def record(workspace: Workspace, params: Params) -> RunLink | None:
    """Write parameters, metrics, curves, plots, reports, checkpoint and lineage; None if stages are left to run.

    The same `dvc.lock` always gives the same run. A record that was interrupted is completed.

    Raises:
        TrackingUnavailableError: MLflow cannot be reached, or breaks off.
    """
    lock = lock_sha256(workspace)
    if lock is None or pending(workspace):
        return None
    store = open_store(workspace, params.track.experiment)
    from mlflow.exceptions import MlflowException

    try:
        return _write(store, workspace, params, lock)
    except (MlflowException, OSError) as error:
        raise TrackingUnavailableError(f"MLflow at {redacted(store.uri)} broke off: {first_line(error)}") from error


def recorded_run(store: Store, workspace: Workspace) -> "Run | None":
    """The run whose record speaks for the workspace as it is; None if there is none, or it is not complete."""
    lock = lock_sha256(workspace)
    run_id = find_by_tag(store, LOCK_TAG, lock) if lock else None
    run = store.client.get_run(run_id) if run_id else None
    return run if run and run.data.tags.get(RECORD_TAG) == "complete" else None


def _write(store: Store, workspace: Workspace, params: Params, lock: str) -> RunLink:
    name = f"{params.profile or params.source.name} {lock[:8]}"
    run_id = find_by_tag(store, LOCK_TAG, lock)
    if run_id and store.client.get_run(run_id).data.tags.get(RECORD_TAG) == "complete":
        return RunLink(run_id, name, store.page(run_id), written=False)

    tags = {**code_tags(workspace), **result_tags(workspace)}
    for stage in TRAINING:
        if stage in stage_order(workspace):
            tags[key_tag(stage)] = stage_key(workspace, stage)
            run_id = run_id or find_by_tag(store, key_tag(stage), tags[key_tag(stage)], without_lock=True)
    if run_id is None:
        run_id = create_run(store, name, tags)
    add_tags(store, run_id, {**tags, "mlflow.runName": name, **_note(workspace)})
    add_params(store, run_id, flat(params.model_dump(mode="json", by_alias=True)))
    add_points(store, run_id, _points(workspace))
    workspace.promotion_page.unlink(missing_ok=True)  # of the model that was judged before
    for folder in FOLDERS:
        if (workspace.root / folder).is_dir():
            store.client.log_artifacts(run_id, str(workspace.root / folder), folder)
    for file in FILES:
        store.client.log_artifact(run_id, str(workspace.root / file))
    store.client.set_terminated(run_id, "FINISHED")
    add_tags(store, run_id, {RECORD_TAG: "complete"})
    return RunLink(run_id, name, store.page(run_id), written=True)


def _note(workspace: Workspace) -> dict[str, str]:
    """The run's description: the scores that matter, and where the whole report is; nothing where there is neither."""
    path, page = workspace.metrics("evaluate"), workspace.report
    parts = [headline(read_json(path)) if path.is_file() else ""]
    if page.is_file():
        parts.append(f"The whole report is among the artifacts: `{page.relative_to(workspace.root).as_posix()}`")
    note = "\n\n".join(part for part in parts if part)
    return {NOTE_TAG: note} if note else {}


def _points(workspace: Workspace) -> list[tuple[int, dict[str, float]]]:
    """The numbers in `metrics/STAGE.json` as `STAGE/name`, at step 0, and the training curves at their steps.

    Further splits are groups of their own: `evaluate/validation/label.accuracy` beside `evaluate/label.accuracy`.
    """
    points = []
    for path in sorted((workspace.root / "metrics").glob("*.json")):
        stage = path.stem
        if stage in COUNTS:
            continue
        content = read_json(path)
        if not isinstance(content, dict):
            raise DataError(f"{path} must hold a mapping")
        for split, scores in {**content.pop("splits", {}), "dense": content.pop("dense", {})}.items():
            points.append((0, grouped_numbers(f"{stage}/{split}", scores)))
        points.append((0, grouped_numbers(stage, content)))
        for row in (*content.get("curves", ()), *content.get("epochs", ()), *content.get("events", ())):
            figures = {name: value for name, value in row.items() if name != "step"}
            points.append((row["step"], grouped_numbers(stage, figures)))
    return points
