"""A workspace with the results that promotion needs: annotated tables, metrics, a model and a record."""

import shutil
from pathlib import Path

import torch
import yaml

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import write_json, write_text
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import write_splits
from sparsecbm.promote.service import PromotionService
from sparsecbm.track.lineage import LOCK_TAG, lock_sha256
from sparsecbm.track.record import RECORD_TAG
from sparsecbm.track.runs import create_run
from sparsecbm.track.store import database
from tests.support.planted_model import planted_masks, planted_model
from tests.support.tiny_models import CONCEPTS
from tests.support.tiny_pipeline import ROOT
from tests.support.tiny_tables import annotated

GATES = [
    {"kind": "score", "name": "label", "of": "label.accuracy", "bound": 0.5, "margin": 0.02},
    {"kind": "score", "name": "each concept", "of": "concepts.*.accuracy", "bound": 0.3, "margin": 0.02},
    {"kind": "figure", "name": "data", "file": "validate", "key": "accepted", "equals": True, "failed": "reject",
     "required": True},
    {"kind": "figure", "name": "interventions", "file": "intervene", "key": "verdict", "equals": "passed",
     "failed": "hold", "required": False},
    {"kind": "cost", "name": "size", "of": "size_mb", "bound": 5, "times": 1.5},
]  # fmt: skip


def make_good_model(backbone) -> SparseCBM:
    """Return a model that predicts every concept and label of the tables correctly."""
    model = planted_model(backbone)
    model.masks = planted_masks()
    with torch.no_grad():
        model.label_head.linear.weight.zero_()
        model.label_head.linear.bias.zero_()
        for label, state in enumerate(("Negative", "unknown", "Positive")):  # ratings 1, 2, 3
            model.label_head.linear.weight[label, CONCEPTS["food"].index(state)] = 20.0
    return model


def make_promotion_workspace(root: Path, migrated: Path, **promote) -> Workspace:
    """Make a workspace with a copy of an MLflow database; `promote` changes this block of its parameters."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["threads"] = 1
    content["evaluate"]["bootstrap"] = 200
    content["promote"] |= {"gates": GATES, **promote}
    workspace = Workspace(root)
    workspace.state.mkdir(parents=True)
    shutil.copy(migrated, database(workspace))
    write_text(workspace.params, yaml.safe_dump(content))
    write_text(workspace.root / "dvc.yaml", "stages: {}\n")
    write_json(workspace.metrics("evaluate"), {"split": "test"})
    write_json(workspace.metrics("validate"), {"accepted": True})
    splits = {"train": annotated(40, 1), "test": annotated(60, 2)}
    write_splits(workspace.annotated, splits, {"vocabulary": CONCEPTS.to_dict()})
    return workspace


def open_promotion(workspace: Workspace) -> PromotionService:
    """Open the promotion service of a workspace."""
    return PromotionService.open(workspace, load_params(workspace.params))


def finish_promotable(service: PromotionService, model: SparseCBM) -> PromotionService:
    """Save a model in a workspace like a finished and recorded pipeline."""
    model.save_pretrained(service.workspace.sparse)
    lock = service.workspace.root / "dvc.lock"
    write_text(lock, (lock.read_text() if lock.exists() else "") + "# another run\n")
    tags = {LOCK_TAG: lock_sha256(service.workspace), RECORD_TAG: "complete", "git.commit": "abc"}
    create_run(service.store, "tiny", tags)
    return service
