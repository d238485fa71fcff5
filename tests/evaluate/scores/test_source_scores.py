"""Scores of a model on another source."""

import pandas as pd
import pytest

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import DataError, ModelError
from sparsecbm.base.params import load_params, parse_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.evaluate.scores.source_scores import evaluate_source, require_same_concepts
from tests.support.tiny_models import CONCEPTS
from tests.support.tiny_tables import SHARES, annotated


@pytest.fixture
def params(tmp_path):
    frame = pd.concat(
        [annotated(60, 1).assign(split="train"), annotated(20, 2).assign(split="test")], ignore_index=True
    )
    frame = frame.drop_duplicates("text").assign(food=frame["concept.food"], noise=frame["concept.noise"])
    frame[["id", "text", "label", "group", "food", "noise", "split"]].to_csv(tmp_path / "t.csv", index=False)
    values = load_params(Workspace.find().params).model_dump(by_alias=True, exclude_unset=True)
    columns = {
        "text": "text", "label": "label", "labels": ["1", "2", "3"], "id": "id", "group": "group", "split": "split",
        "concepts": {
            "food": {"column": "food", "states": ["Negative", "Positive", "unknown"]},
            "noise": {"column": "noise", "states": ["loud", "quiet"]},
        },
    }  # fmt: skip
    return parse_params({**values, "source": {"name": "table", "path": "t.csv", "columns": columns}})


def test_the_given_split_is_scored(model, params, tmp_path):
    model.means = SHARES
    scores = evaluate_source(model, params, params.source, "test", tmp_path)
    rows = pd.read_csv(tmp_path / "t.csv")
    assert scores.split == "test" and scores.texts == (rows["split"] == "test").sum()
    assert scores.bag_of_words is not None


def test_without_training_rows_the_refitted_head_comes_from_the_model(model, params, tmp_path):
    model.means = SHARES
    rows = pd.read_csv(tmp_path / "t.csv")
    rows[rows["split"] == "test"].to_csv(tmp_path / "t.csv", index=False)
    assert evaluate_source(model, params, params.source, "test", tmp_path).label_hard_refitted is None
    model.add_hard_head()  # of zeros, so it predicts the first class for every text
    scores = evaluate_source(model, params, params.source, "test", tmp_path)
    gold = rows.loc[rows["split"] == "test", "label"]
    assert scores.label_hard_refitted.accuracy == pytest.approx((gold == 1).mean(), abs=1e-6)
    assert scores.bag_of_words is None


def test_the_error_for_an_unknown_split_lists_the_splits(model, params, tmp_path):
    with pytest.raises(DataError, match=r"unknown split 'dev'.*Choices: .*test"):
        evaluate_source(model, params, params.source, "dev", tmp_path)


def test_other_concepts_or_states_are_an_error():
    require_same_concepts(CONCEPTS, CONCEPTS)
    with pytest.raises(ModelError, match="the model has the concepts food, noise; the source has food"):
        require_same_concepts(CONCEPTS, ConceptSet((Concept("food"),), CONCEPTS.label))
    other = ConceptSet((Concept("food"), Concept("noise", ("quiet", "loud"))), CONCEPTS.label)
    with pytest.raises(ModelError, match="'noise' has the states loud, quiet in the model and quiet, loud"):
        require_same_concepts(CONCEPTS, other)


def test_a_batch_without_one_class_is_scored_with_the_states_of_the_model(model, params, tmp_path):
    model.means = SHARES
    rows = pd.read_csv(tmp_path / "t.csv")
    rows[(rows["split"] == "test") & (rows["label"] != 2)].to_csv(tmp_path / "t.csv", index=False)
    columns = params.source.columns
    unnamed = {name: column.model_copy(update={"states": None}) for name, column in columns.concepts.items()}
    columns = columns.model_copy(update={"labels": None, "concepts": unnamed})
    source = params.source.model_copy(update={"columns": columns})
    scores = evaluate_source(model, params, source, "test", tmp_path)
    named = evaluate_source(model, params, params.source, "test", tmp_path)
    assert scores == named and scores.texts == ((rows["split"] == "test") & (rows["label"] != 2)).sum()


def test_states_that_a_model_does_not_know_are_an_error_with_a_remedy(model, params, tmp_path):
    columns = params.source.columns.model_copy(update={"labels": ("1", "2", "3", "4")})
    source = params.source.model_copy(update={"columns": columns})
    with pytest.raises(ModelError, match=r"1, 2, 3 in the model and 1, 2, 3, 4 in the source; leave these states out"):
        evaluate_source(model, params, source, "test", tmp_path)
