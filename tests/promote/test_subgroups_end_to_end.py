"""A column of the source goes through the stages, and its worst subgroup decides a promotion."""

import shutil

import pytest
import torch

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import read_json
from sparsecbm.base.params import write_params
from sparsecbm.data.tables import head_split, read_manifest, read_split
from sparsecbm.promote.ledger import HOLD, PROMOTE
from sparsecbm.stages import annotate, evaluate, ingest, validate
from sparsecbm.track.store import database
from tests.support.data_workspace import make_workspace, source_rows
from tests.support.promotion_workspace import finish_promotable, open_promotion
from tests.support.tiny_models import random_masks, tiny_model

pytestmark = pytest.mark.usefixtures("predict_in_process")
GATE = {"kind": "subgroup", "name": "regions", "of": "label", "texts": 10, "failed": "hold", "required": True}


def rows_by_region():
    """Return 300 rows; all of region `south` have 2 stars, and none of `north`."""
    return [{**row, "region": "south" if row["stars"] == 2 else "north"} for row in source_rows(300)]


def always(model, label):
    """Change a model so that it predicts one label for every text, and knows uniform shares of all states."""
    shares = {concept.name: dict.fromkeys(concept.states, 1 / len(concept)) for concept in model.concept_set}
    of_label = dict.fromkeys(model.concept_set.label.states, 1 / len(model.concept_set.label))
    model.means = {"activations": shares, "concept_shares": shares, "label_share": of_label}
    with torch.no_grad():
        model.label_head.linear.weight.zero_()
        model.label_head.linear.bias.zero_()
        model.label_head.linear.bias[model.concept_set.label.index(label)] = 5.0
    return model


@pytest.fixture(params=[0.5, 0.0], ids=["half", "nothing"])
def service(request, tmp_path, migrated, backbone, monkeypatch):
    """Return the promotion service of a workspace whose model calls every text 2; the gate wants this accuracy."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    params, workspace = make_workspace(
        tmp_path / "workspace", rows_by_region(), threads=1, evaluate={"subgroups": ["region"], "bootstrap": 100},
        promote={"gates": [{**GATE, "at_least": request.param}]},
    )  # fmt: skip
    write_params(workspace.params, params)
    (workspace.root / "dvc.yaml").write_text("stages: {}\n")
    for stage in (ingest, validate, annotate):
        stage.run(params, workspace)
    workspace.state.mkdir(exist_ok=True)
    shutil.copy(migrated, database(workspace))
    concept_set = ConceptSet.from_dict(read_manifest(workspace.annotated)["vocabulary"])
    model = always(tiny_model(backbone, concept_set), "2")
    model.save_pretrained(workspace.dense)
    model.masks = random_masks(model)
    service = finish_promotable(open_promotion(workspace), model)
    evaluate.run(params, workspace)
    return service


def test_the_worst_subgroup_of_a_column_decides(service):
    workspace, (gate,) = service.workspace, service.params.promote.gates
    regions = (
        read_split(workspace.annotated, head_split(workspace.annotated))["label"]
        .eq("2")
        .map({True: "south", False: "north"})
    )
    scores = read_json(workspace.metrics("evaluate"))["subgroups"]["region"]
    assert {name: (group["label"]["texts"], group["label"]["accuracy"]) for name, group in scores.items()} == {
        "north": ((regions == "north").sum(), 0.0),
        "south": ((regions == "south").sum(), 1.0),
    }
    ledger = service.gate()
    row = next(row for row in ledger.rows if row.gate == "regions")
    assert (row.figure, row.value) == ("label.accuracy of a subgroup: region = north", 0.0)
    failed = gate.at_least > 0
    assert (row.outcome, ledger.verdict) == (("failed", HOLD) if failed else ("passed", PROMOTE))
    assert service.promote(ledger).action == ("refuse" if failed else "promote")
    assert service.registry.aliases()[0] == (None if failed else 1)
