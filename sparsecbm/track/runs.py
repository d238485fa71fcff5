"""Runs in MLflow, found by what they are about, and metrics added to them without doubling any."""

import time

from sparsecbm.track.lineage import LOCK_TAG
from sparsecbm.track.store import Store

BATCH = 900  # MLflow takes at most 1000 metrics, and 100 parameters or tags, at once
PARAM_BATCH = 90
TRAINING = ("prune", "finetune")  # stages with curves, the last of the pipeline first; one run holds those of both


def key_tag(stage: str) -> str:
    """The tag that holds the key of a stage's inputs."""
    return f"sparsecbm.{stage}.key"


def find_by_tag(store: Store, tag: str, value: str, without_lock: bool = False) -> str | None:
    """The newest run with a tag of this value; on demand, only one that no lock belongs to yet."""
    found = store.client.search_runs([store.experiment_id], f"tags.`{tag}` = '{value}'", max_results=100)
    runs = [run for run in found if not (without_lock and LOCK_TAG in run.data.tags)]
    return runs[0].info.run_id if runs else None


def create_run(store: Store, name: str, tags: dict[str, str]) -> str:
    """Start a run."""
    return store.client.create_run(store.experiment_id, run_name=name, tags=tags).info.run_id


def add_tags(store: Store, run_id: str, tags: dict[str, str]) -> None:
    """Set tags; the newest value of a tag counts."""
    from mlflow.entities import RunTag

    store.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def add_params(store: Store, run_id: str, params: dict[str, object]) -> None:
    """Log the parameters that the run does not have yet; MLflow lets none change."""
    from mlflow.entities import Param

    known = store.client.get_run(run_id).data.params
    fresh = [Param(name, str(value)) for name, value in params.items() if name not in known]
    for start in range(0, len(fresh), PARAM_BATCH):
        store.client.log_batch(run_id, params=fresh[start : start + PARAM_BATCH])


def add_points(store: Store, run_id: str, points: list[tuple[int, dict[str, float]]]) -> int:
    """Log the points of curves that the run does not have yet; how many there were."""
    from mlflow.entities import Metric

    known = known_steps(store, run_id, {name for _, metrics in points for name in metrics})
    now = int(time.time() * 1000)
    fresh = []
    for step, metrics in points:
        for name, value in metrics.items():
            if step not in known[name]:
                known[name].add(step)
                fresh.append(Metric(name, value, now, step))
    for start in range(0, len(fresh), BATCH):
        store.client.log_batch(run_id, metrics=fresh[start : start + BATCH])
    return len(fresh)


def known_steps(store: Store, run_id: str, names: set[str]) -> dict[str, set[int]]:
    """For each metric, the steps at which the run has it."""
    logged = set(store.client.get_run(run_id).data.metrics)
    return {
        name: {point.step for point in store.client.get_metric_history(run_id, name)} if name in logged else set()
        for name in names
    }
