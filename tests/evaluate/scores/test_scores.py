"""The scores of a split, for a model with known predictions."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from jsonschema import Draft202012Validator

from sparsecbm.base.params import Evaluate
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.json_schemas import json_schemas, write_schemas
from sparsecbm.evaluate.scores.bag_of_words import fit_bag_of_words
from sparsecbm.evaluate.scores.scores import ScoredTable, score_split
from sparsecbm.evaluate.variables import clusters_of
from sparsecbm.model.cbm import Logits
from tests.support.tiny_models import CONCEPTS, tiny_model
from tests.support.tiny_tables import SHARES, annotated

PARAMS = Evaluate(bootstrap=200, calibration_bins=10, effect_texts=50)


def oracle(model, frame, monkeypatch, wrong=()):
    """Make a model predict the gold states of a table, and another label for the rows in `wrong`."""
    by_text = pd.concat([frame, annotated(200, seed=9)]).drop_duplicates("text").set_index("text")

    def logits(texts, batch_size=32):
        rows = by_text.loc[list(texts)]
        concepts = {}
        for concept in CONCEPTS:
            state = rows[f"concept.{concept.name}"].map(concept.index).to_numpy()
            concepts[concept.name] = np.eye(len(concept), dtype=np.float32)[state] * 20
        label = rows["label"].astype(int).to_numpy() - 1
        flip = np.isin(rows["id"].to_numpy(), list(wrong))
        return Logits(concepts, np.eye(3, dtype=np.float32)[np.where(flip, (label + 1) % 3, label)] * 20)

    monkeypatch.setattr(model, "logits", logits)
    model.means = SHARES
    return model


@pytest.fixture
def frame():
    return annotated(40, seed=1).drop_duplicates("text").reset_index(drop=True)


def test_known_predictions_give_known_scores(model, frame, monkeypatch):
    wrong = frame["id"].tolist()[:4]
    scores = score_split(oracle(model, frame, monkeypatch, wrong), ScoredTable("test", frame), PARAMS, 0)
    assert scores.label.accuracy == pytest.approx(1 - 4 / len(frame), abs=1e-6)
    assert scores.label.texts == len(frame)
    assert scores.label.majority == pytest.approx((frame["label"] == "2").mean(), abs=1e-6)
    assert scores.concepts["food"].accuracy == scores.concepts["mean"].accuracy == 1
    assert scores.concepts["noise"].majority == pytest.approx((frame["concept.noise"] == "quiet").mean(), abs=1e-6)
    assert np.trace(scores.label.confusion) == len(frame) - 4
    low, high = scores.label.accuracy_interval
    assert low < scores.label.accuracy < high
    assert scores.bag_of_words is None and scores.label_hard_refitted is None


def test_a_refitted_head_predicts_the_label_that_hard_concepts_determine(model, frame, monkeypatch):
    """Food determines the label, so a head with this rule is always right, even if the trained head is not."""
    reader = oracle(model, frame, monkeypatch)
    rule = torch.zeros(3, 5)  # food: Negative, Positive, unknown; noise: loud, quiet
    rule[0, 0] = rule[2, 1] = rule[1, 2] = 5.0
    reader.add_hard_head().set(rule, torch.zeros(3))
    scores = score_split(reader, ScoredTable("test", frame), PARAMS, 0)
    assert scores.label_hard_refitted.accuracy == 1
    assert scores.leakage_refitted.accuracy == 0
    assert scores.leakage.accuracy == pytest.approx(1 - scores.label_hard.accuracy)
    assert scores.label_hard.accuracy < 0.9, "random weights must not pass for a fitted head"


def test_missing_and_blank_cells_do_not_count(model, frame, monkeypatch):
    gold_model = oracle(model, frame.copy(), monkeypatch)
    frame.loc[:4, "label"] = None
    frame.loc[:9, "source.food"] = "blank"
    scores = score_split(gold_model, ScoredTable("test", frame), PARAMS, 0)
    assert scores.label.texts == len(frame) - 5 and scores.texts == len(frame)
    assert scores.concepts["food"].texts == len(frame)
    assert scores.concepts_annotated["food"].texts == len(frame) - 10
    assert scores.concepts_annotated["noise"].texts == len(frame)


def test_the_lead_over_the_bag_of_words_by_hand(model, frame, monkeypatch):
    reader = oracle(model, frame, monkeypatch)
    fitted = fit_bag_of_words(annotated(200, seed=9), CONCEPTS)
    scores = score_split(reader, ScoredTable("test", frame), PARAMS, 0, fitted)
    words = scores.bag_of_words
    assert words.concepts["food"] == 1, "the words of the food clauses decide the state"
    assert words.concepts_lead["mean"].accuracy == 0


def test_a_bag_of_words_predicts_one_state_for_texts_of_unseen_words(frame):
    blind = annotated(200, seed=9).assign(text="nothing in common")
    assert np.unique(fit_bag_of_words(blind, CONCEPTS).predict(frame["text"])["food"]).size == 1


def test_a_black_box_has_a_label_and_no_concepts(backbone, frame):
    box = tiny_model(backbone, mode="standard")
    box.means = SHARES
    scores = score_split(box, ScoredTable("test", frame), PARAMS, 0, fit_bag_of_words(frame, CONCEPTS))
    assert scores.concepts == {} and scores.label_hard is None and scores.leakage is None
    assert scores.bag_of_words.concepts == {}


def test_rows_without_a_clause_are_clustered_by_group(frame):
    frame["cluster.food"] = [None if i % 2 else "clause-1" for i in range(len(frame))]
    clusters = clusters_of(frame, "food")
    assert clusters[0] == clusters[2] == "clause-1"
    assert clusters[1] == f"group {frame['group'][1]}"
    assert clusters_of(frame, "noise").tolist() == frame["group"].tolist()


def test_the_published_schemas_are_those_of_the_code_and_fit_its_output(model, frame, monkeypatch, tmp_path):
    write_schemas(tmp_path)
    published = Workspace.find().root / "sparsecbm" / "schemas"
    for name, schema in json_schemas().items():
        file = f"{name}.schema.json"
        assert (published / file).read_text() == (tmp_path / file).read_text(), f"renew {file}"
        Draft202012Validator.check_schema(schema)
    reader = oracle(model, frame, monkeypatch)
    scores = score_split(reader, ScoredTable("test", frame), PARAMS, 0, fit_bag_of_words(frame, CONCEPTS)).model_dump()
    validator = Draft202012Validator(json_schemas()["evaluate"])
    validator.validate(json.loads(json.dumps(scores)))
    del scores["label"]["accuracy"]
    assert not validator.is_valid(scores)
