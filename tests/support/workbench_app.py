"""A workbench on a tiny model and a small workspace, in this process."""

from pathlib import Path

from fastapi import FastAPI

from sparsecbm.annotate.concept_file import ConceptDefinition, ConceptFile, write_concept_file
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import write_splits
from sparsecbm.serve.snapshot import Snapshot
from sparsecbm.workbench.application import add_workbench
from tests.support.data_workspace import REPOSITORY
from tests.support.served_model import PORT, served_app
from tests.support.tiny_models import CONCEPTS
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


def workbench_app(snapshot: Snapshot, workspace: Workspace, model: Path, port: int = PORT) -> FastAPI:
    """Return the application of the service with the pages of the workbench."""
    app = served_app(snapshot, workspace.state / "corrections.jsonl", port=port)
    add_workbench(app, workspace, model)
    return app
