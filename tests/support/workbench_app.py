"""A workbench on a tiny model and a small workspace, in this process."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import uvicorn
from fastapi import FastAPI

from sparsecbm.annotate.concept_file import ConceptDefinition, ConceptFile, write_concept_file
from sparsecbm.base.files import write_parquet
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import write_splits
from sparsecbm.serve.snapshot import Snapshot
from sparsecbm.workbench.application import add_workbench
from sparsecbm.workbench.token_door import TokenDoor
from tests.support.data_workspace import REPOSITORY
from tests.support.served_model import PORT, served_app
from tests.support.tiny_models import CONCEPTS
from tests.support.tiny_pipeline import free_port
from tests.support.tiny_tables import annotated

DEFINITIONS = tuple(
    ConceptDefinition(each.name, f"what is said of {each.name}", {state: f"It is {state}." for state in each.states})
    for each in CONCEPTS
)


def make_workbench_workspace(root: Path) -> Workspace:
    """Make a workspace with annotated texts, 45 in `test` and 30 in each other split; the review knows no label."""
    workspace = Workspace(root)
    root.mkdir(parents=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    splits = {"train": annotated(30, 1), "test": annotated(45, 2), "validation": annotated(30, 3)}
    write_splits(workspace.annotated, splits, {"vocabulary": CONCEPTS.to_dict()})
    bare = {name: frame[["id", "text", "label", "group"]].assign(edit_type=None) for name, frame in splits.items()}
    bare = {name: frame.astype({"edit_type": "str"}) for name, frame in bare.items()}
    write_splits(workspace.validated, bare, {"vocabulary": {**CONCEPTS.to_dict(), "concepts": {}}})
    write_concept_file(workspace.concept_file, ConceptFile("Reviews", DEFINITIONS))
    return workspace


def workbench_app(snapshot: Snapshot, workspace: Workspace, model: Path, port: int = PORT, token: str = "") -> FastAPI:
    """Return the application of the service with the pages of the workbench."""
    app = served_app(snapshot, workspace.state / "corrections.jsonl", token=token, port=port, door=TokenDoor)
    add_workbench(app, workspace, model)
    return app


@contextmanager
def listening(snapshot: Snapshot, workspace: Workspace, model: Path, token: str = "") -> Iterator[str]:
    """Serve the workbench at a free port of this machine, for browsers; yield its address."""
    port = free_port()
    app = workbench_app(snapshot, workspace, model, port, token)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, server_header=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def copy_trained_workspace(source: Path, root: Path, unlabelled: int) -> Workspace:
    """Copy of a trained workspace what the workbench needs; the first texts to train on lose their labels in the copy.

    Args:
        unlabelled: number of these texts
    """
    trained, workspace = Workspace(source), Workspace(root)
    root.mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(source / name, root / name)
    for folder in (trained.annotated, trained.validated, trained.sparse):
        shutil.copytree(folder, root / folder.relative_to(source))
    path = workspace.validated / "train.parquet"
    frame = pd.read_parquet(path)
    cells = [name for name in frame if name.startswith(("concept.", "source."))]
    frame.loc[frame.index[:unlabelled], cells] = None
    write_parquet(path, frame)
    return workspace
