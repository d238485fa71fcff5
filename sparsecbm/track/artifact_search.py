"""Runs whose artifacts hold something, such as a text that is to be forgotten."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sparsecbm.track.store import Store

READABLE = (".html", ".json", ".jsonl", ".parquet", ".csv", ".md", ".txt")  # what can hold a text; weights cannot


@dataclass(frozen=True)
class RunWithVersions:
    """A run, and the versions of registered models that were made from it, as `version N of NAME`."""

    run_id: str
    name: str
    versions: tuple[str, ...]


def find_runs(store: Store, holds: Callable[[Path], bool]) -> Iterator[RunWithVersions]:
    """All runs of all experiments, deleted ones too, that have an artifact for which `holds` is true."""
    from mlflow.entities import ViewType

    experiments = [each.experiment_id for each in store.client.search_experiments(ViewType.ALL)]
    for run in store.client.search_runs(experiments, run_view_type=ViewType.ALL, max_results=10_000):
        if _has_artifact(store, run.info.run_id, holds):
            found = store.client.search_model_versions(f"run_id='{run.info.run_id}'")
            versions = tuple(f"version {each.version} of {each.name}" for each in found)
            yield RunWithVersions(run.info.run_id, run.info.run_name, versions)


def _has_artifact(store: Store, run_id: str, holds: Callable[[Path], bool]) -> bool:
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory(prefix="sparsecbm-artifacts-") as folder:
        for path in _artifacts(store, run_id):
            file = download_artifacts(run_id=run_id, artifact_path=path, dst_path=folder, tracking_uri=store.uri)
            if holds(Path(file)):
                return True
    return False


def _artifacts(store: Store, run_id: str, folder: str | None = None) -> Iterator[str]:
    """Paths of the readable artifacts of a run; code that a version carries is left out."""
    for entry in store.client.list_artifacts(run_id, folder):
        if entry.is_dir and not entry.path.endswith("/code"):
            yield from _artifacts(store, run_id, entry.path)
        elif entry.path.endswith(READABLE):
            yield entry.path
