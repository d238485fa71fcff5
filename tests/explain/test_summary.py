"""The summary of explanations over many texts, and their table."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import read_parquet
from sparsecbm.base.metrics import MISSING
from sparsecbm.data.schemas import ExplanationTable, check
from sparsecbm.explain.calibration import compute_calibration
from sparsecbm.explain.explainer import TextSource, explain
from sparsecbm.explain.export import json_lines, word_table, write_explanations
from sparsecbm.explain.subnetworks import describe_subnetworks
from sparsecbm.explain.summary import summarize_concepts, summarize_model
from sparsecbm.model.cbm import Logits
from tests.support.explained_model import FEW, WORDS_ONLY, with_means
from tests.support.tiny_models import random_masks

TEXTS = ["the food was good", "slow service but a quiet place"]
SURE = np.array([[0.95, 0.05], [0.9, 0.1], [0.35, 0.65], [0.5, 0.5]])


def test_calibration_by_hand():
    """Confidences are .95, .9 and .65; the fourth text has no gold state and does not count."""
    calibration = compute_calibration(SURE, np.array([0, 1, 1, MISSING]), bins=10)
    assert [(each.low, each.high, each.texts, each.accuracy) for each in calibration.bins] == [
        (0.6, 0.7, 1, 1.0),
        (0.9, 1.0, 2, 0.5),
    ]
    assert [each.confidence for each in calibration.bins] == pytest.approx([0.65, 0.925])
    assert calibration.error == pytest.approx((0.35 * 1 + 0.425 * 2) / 3)


def test_calibration_without_gold_states():
    calibration = compute_calibration(SURE, np.full(4, MISSING), bins=10)
    assert calibration.error is None and calibration.bins == ()


def test_concepts_over_many_texts_by_hand(model):
    """noise is predicted loud, loud, quiet; its contribution is V . (c - mean) of the predicted class."""
    with_means(model)
    logits = np.log(np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]]))
    predicted = Logits({"food": np.zeros((3, 3)), "noise": logits}, np.array([[1.0, 0, 0]] * 3))
    gold = {"food": np.zeros(3, int), "noise": np.array([0, 1, 1])}
    summary = summarize_concepts(model, predicted, gold, bins=10)
    assert summary["noise"].read == pytest.approx({"loud": 2 / 3, "quiet": 1 / 3})
    assert summary["food"].read == {"Negative": 1.0, "Positive": 0.0, "unknown": 0.0}
    V = model.label_head.V("noise").detach().numpy().astype(float)
    weights = (V - V.mean(0))[0]
    expected = np.abs((np.exp(logits) - 0.5) @ weights).mean()
    assert summary["noise"].contribution == pytest.approx(expected, rel=1e-6)
    assert summary["food"].contribution == pytest.approx(0, abs=1e-6)  # its prediction is the mean
    assert summary["noise"].calibration.error == pytest.approx((0.2 + 0.6 + 0.1) / 3, abs=1e-6)
    model.hard_head = None
    assert summarize_concepts(model, predicted, gold, bins=10)["noise"].hard_contribution is None


def test_the_summary_of_a_model_agrees_with_its_explanations(model):
    with_means(model).masks = random_masks(model)
    explanations, predicted = explain(model, TEXTS, WORDS_ONLY), model.logits(TEXTS)
    gold = {name: np.zeros(2, int) for name in ("food", "noise")}
    concepts = summarize_concepts(model, predicted, gold, bins=10)
    model_summary = summarize_model(model, "test", explanations, concepts, describe_subnetworks(model))
    assert json.loads(json.dumps(model_summary, allow_nan=False)) == model_summary
    assert (model_summary["split"], model_summary["texts"], model_summary["method"]) == (
        "test",
        2,
        "integrated_gradients",
    )
    steps = [explanation.concepts["food"].words.steps for explanation in explanations]
    assert model_summary["words"]["food"]["steps"] == np.mean(steps) and set(model_summary["words"]) == {
        "food",
        "noise",
        "label",
    }
    origin = replace(explanations[0].origin, parameters=replace(FEW, tolerance=1e-9))  # out of reach of any quadrature
    strict = [replace(explanations[0], origin=origin), explanations[1]]
    assert model_summary["words"]["food"]["above_tolerance"] == 0
    assert summarize_model(model, "test", strict, concepts, None)["words"]["food"]["above_tolerance"] == 0.5
    assert model_summary["subnetworks"]["whole"]["density"]["food"] == pytest.approx(model.density()["food"], abs=1e-6)
    assert (
        model_summary["effects"]["noise"]["loud"].keys()
        == {"1", "2", "3"}
        == model_summary["effects_hard"]["noise"]["loud"].keys()
    )
    assert summarize_model(model, "test", explanations, concepts, None)["subnetworks"] is None
    for block, shares in describe_subnetworks(model).heads["food"].items():
        assert model_summary["subnetworks"]["heads"]["food"][str(block)] == {
            "density": pytest.approx(shares.density, abs=1e-6),
            "exclusive": pytest.approx(shares.exclusive, abs=1e-6),
        }


def test_the_table_has_a_row_for_each_text_concept_and_word(model, tmp_path):
    with_means(model)
    texts = [*TEXTS, ""]
    explanations = explain(model, texts, WORDS_ONLY, sources=[TextSource("a"), TextSource("b"), TextSource("c")])
    write_explanations(tmp_path, explanations)
    table = read_parquet(tmp_path / "explanations.parquet")
    assert len(table) == 2 * (4 + 6) and set(table["id"]) == {"a", "b"}  # an empty text has no words
    for row in table.itertuples():
        assert dict(zip("ab", TEXTS, strict=True))[row.id][row.start : row.end] == row.word
    rows = table[(table["id"] == "a") & (table["concept"] == "noise")]
    assert rows["attribution"].tolist() == list(explanations[0].concepts["noise"].words.scores)
    check(table, ExplanationTable, model.concept_set, "the table")
    assert set(rows["state"]) == {explanations[0].concepts["noise"].explained}
    lines = (tmp_path / "explanations.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a", "b", "c"]
    assert json_lines(explanations).splitlines() == lines
    table["state"] = "oops"
    with pytest.raises(DataError, match="unknown state"):
        check(table, ExplanationTable, model.concept_set, "a table")


def test_no_explanations_make_an_empty_table_of_the_same_columns(model, tmp_path):
    write_explanations(tmp_path, [])
    assert len(word_table([])) == 0 and (tmp_path / "explanations.jsonl").read_text() == ""
    assert read_parquet(tmp_path / "explanations.parquet").columns.tolist() == word_table([]).columns.tolist()
