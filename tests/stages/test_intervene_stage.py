"""The stage `intervene`: its files, its verdict, repeatable bytes, and a model without concepts."""

import pandas as pd
import pytest
import yaml

from sparsecbm.base.files import read_json, sha256_file
from sparsecbm.base.params import load_params, parse_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import write_splits
from sparsecbm.intervene.patches.split_safeguards import SplitSource, patch_cache
from sparsecbm.model.storage import load as load_model
from sparsecbm.stages import intervene
from tests.support.references import label_follows_food
from tests.support.tiny_models import CONCEPTS, tiny_model
from tests.support.tiny_tables import annotated

PROJECT = Workspace.find()
TABLES = ("oracle_curves", "own_curves", "oracle_subsets", "oracle_patches", "oracle_memory")


@pytest.fixture
def params():
    values = load_params(PROJECT.params).model_dump(by_alias=True)
    values["threads"] = 1  # parallel tests use the same cores
    values["intervene"] |= {
        "texts": 2,
        "seeds": 2,
        "max_flipped_share": 0.02,
        "protect": 4,
        "training_texts": 6,
        "thresholds": [0.5, 0.9],
    }
    return parse_params(values)


def workspace_with(model, root):
    workspace = Workspace(root)
    vocabulary = {"source": "tiny", "vocabulary": CONCEPTS.to_dict()}
    table = annotated(40, seed=1)
    table.loc[:15, "concept.food"] = ["Positive", "Negative"] * 8  # the model must be wrong on some of them
    write_splits(workspace.annotated, {"train": annotated(20, seed=2), "validation": table}, vocabulary)
    model.save_pretrained(workspace.sparse)
    return workspace


def test_the_stage_writes_its_files_and_verdict_and_repeats_them(backbone, params, tmp_path):
    workspace = workspace_with(label_follows_food(backbone), tmp_path)
    intervene.run(params, workspace)
    record = read_json(workspace.metrics("intervene"))
    assert record["verdict"] in ("passed", "failed")
    assert [gate["name"] for gate in record["gates"]] == list(params.intervene.gates.model_dump())
    for gate in record["gates"]:
        assert {"name", "value", "passed", "reason"} < set(gate) and ("at_least" in gate) != ("at_most" in gate)
    assert (record["verdict"] == "passed") == all(gate["passed"] for gate in record["gates"])
    assert next(g for g in record["gates"] if g["name"] == "restored")["value"] == 1.0
    folder = workspace.reports / "interventions"
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in TABLES}
    assert {path.stem for path in folder.iterdir()} == set(TABLES)
    assert len(tables["oracle_curves"]) == 6 * 4 * 3 * 3  # policies, error rates, settings, edits
    assert "oracle_worst" not in set(tables["own_curves"]["policy"])
    assert set(tables["oracle_patches"]["seed"]) == {params.seed, params.seed + 1}
    weights = load_model(workspace.sparse).masks.size
    assert record["patch_limits"] == {"bits": int(0.02 * weights) // 2 * 2, "max_harm": params.intervene.max_harm}
    assert not workspace.plots.exists(), "only the stage `report` draws"
    before = {path: sha256_file(path) for path in sorted(workspace.root.rglob("*")) if path.is_file()}
    intervene.run(params, workspace)
    assert {path: sha256_file(path) for path in before} == before


def test_the_stage_leaves_what_the_first_patch_would_have_to_predict(backbone, params, tmp_path):
    workspace = workspace_with(label_follows_food(backbone), tmp_path)
    intervene.run(params, workspace)
    kept = sorted(path.name for path in workspace.patch_cache.iterdir())
    assert len(kept) == 2 + len(CONCEPTS.names)  # the split, states, and the training texts for each concept
    source = SplitSource(workspace.annotated, "validation", params, patch_cache(workspace))
    source.prepare(load_model(workspace.sparse), "noise", ["a text of its own"], ("*",))
    assert sorted(path.name for path in workspace.patch_cache.iterdir()) == kept


def test_a_failed_gate_is_a_result_and_no_error(backbone, params, tmp_path):
    values = params.model_dump(by_alias=True)
    values["intervene"]["gates"]["concept_rise"] = 1.0
    workspace = workspace_with(label_follows_food(backbone), tmp_path)
    intervene.run(parse_params(values), workspace)
    record = read_json(workspace.metrics("intervene"))
    failed = next(gate for gate in record["gates"] if gate["name"] == "concept_rise")
    assert record["verdict"] == "failed" and not failed["passed"] and "is below 1" in failed["reason"]


def test_a_model_without_concepts_passes_without_figures(backbone, params, tmp_path):
    workspace = workspace_with(tiny_model(backbone, mode="standard"), tmp_path)
    intervene.run(params, workspace)
    record = read_json(workspace.metrics("intervene"))
    assert (record["verdict"], record["gates"]) == ("passed", [])
    assert "mode `standard`" in record["note"]
    assert list((workspace.reports / "interventions").iterdir()) == []


def test_the_graph_contains_the_inputs_and_outputs_of_the_stage():
    stage = yaml.safe_load((PROJECT.root / "dvc.yaml").read_text())["stages"]["intervene"]
    assert {"data/annotated", "models/sparse", "sparsecbm/intervene/experiments/trials.py"} < set(stage["deps"])
    assert stage["outs"] == ["reports/interventions", "metrics/intervene.json"]
    assert not {"metrics", "plots"} & set(stage)
