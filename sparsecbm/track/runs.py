"""Runs in MLflow: found by a tag, and extended by metrics without writing any point twice."""

import time

from sparsecbm.track.lineage import LOCK_TAG
from sparsecbm.track.store import Store

BATCH = 900  # MLflow accepts at most 1000 metrics, and 100 parameters or tags, in one request
PARAM_BATCH = 90
TRAINING = ("prune", "finetune")  # stages with training curves, the later one first; one run holds the curves of both


def key_tag(stage: str) -> str:
    """Name of the tag that holds the key of a stage's inputs."""
    return f"sparsecbm.{stage}.key"


def find_run(store: Store, tag: str, value: str, without_lock: bool = False) -> str | None:
    """The newest run that carries a tag with this value.

    Args:
        without_lock: ignore runs that belong to a `dvc.lock`, that is, finished records
    """
    runs = store.client.search_runs([store.experiment_id], f"tags.`{tag}` = '{value}'", max_results=100)
    matches = [run for run in runs if not (without_lock and LOCK_TAG in run.data.tags)]
    return matches[0].info.run_id if matches else None


def create_run(store: Store, name: str, tags: dict[str, str]) -> str:
    """Create a run and return its id."""
    return store.client.create_run(store.experiment_id, run_name=name, tags=tags).info.run_id


def add_tags(store: Store, run_id: str, tags: dict[str, str]) -> None:
    """Set tags; they replace earlier values."""
    from mlflow.entities import RunTag

    store.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def add_params(store: Store, run_id: str, params: dict[str, object]) -> None:
    """Log the parameters that the run lacks; MLflow forbids changing the others."""
    from mlflow.entities import Param

    known = store.client.get_run(run_id).data.params
    fresh = [Param(name, str(value)) for name, value in params.items() if name not in known]
    for start in range(0, len(fresh), PARAM_BATCH):
        store.client.log_batch(run_id, params=fresh[start : start + PARAM_BATCH])


def add_points(store: Store, run_id: str, points: list[tuple[int, dict[str, float]]]) -> int:
    """Log the (step, metrics) points that the run lacks, and return their number."""
    from mlflow.entities import Metric

    logged = logged_steps(store, run_id, {name for _, metrics in points for name in metrics})
    now = int(time.time() * 1000)
    fresh = []
    for step, metrics in points:
        for name, value in metrics.items():
            if step not in logged[name]:
                logged[name].add(step)
                fresh.append(Metric(name, value, now, step))
    for start in range(0, len(fresh), BATCH):
        store.client.log_batch(run_id, metrics=fresh[start : start + BATCH])
    return len(fresh)


def logged_steps(store: Store, run_id: str, names: set[str]) -> dict[str, set[int]]:
    """For each metric, the steps at which the run has a value."""
    logged = set(store.client.get_run(run_id).data.metrics)
    return {
        name: {point.step for point in store.client.get_metric_history(run_id, name)} if name in logged else set()
        for name in names
    }
