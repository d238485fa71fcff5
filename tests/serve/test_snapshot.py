"""A snapshot predicts by a fast copy of its model, and explains by it, too; it patches the model itself."""

import dataclasses

import numpy as np
import pytest

from sparsecbm.model import onednn
from sparsecbm.model.compact import CompactModel
from sparsecbm.model.masked_copy import with_masks
from sparsecbm.serve.snapshot import PREDICTION, accelerated, load_snapshot
from tests.support.promotion_models import uniform_training_means
from tests.support.served_model import ask_all, close, served_app
from tests.support.structured_models import family_model, structured
from tests.support.tiny_models import random_masks

TEXTS = ["the food was good", "a loud place but we came again and the food was bad", ""]


@pytest.mark.parametrize("masks", [None, random_masks, structured])
@pytest.mark.parametrize("family", ["bert", "opt"])
def test_the_fast_copy_predicts_what_the_model_predicts(tmp_path, family, masks):
    model = family_model(tmp_path, family)
    if masks is not None:
        model.masks = masks(model)
    model.means = uniform_training_means(model)
    model.save_pretrained(tmp_path / "model")
    snapshot = accelerated(load_snapshot(tmp_path / "model", "tiny"))
    assert isinstance(snapshot.predictor, CompactModel) is (masks is not None)
    embeddings = [each.backbone.get_input_embeddings().weight for each in (snapshot.model, snapshot.predictor)]
    assert embeddings[0].data_ptr() == embeddings[1].data_ptr()
    expected, actual = snapshot.model.logits(TEXTS), snapshot.predictor.logits(TEXTS)
    assert actual.label == pytest.approx(expected.label, abs=1e-5)
    for name, values in expected.concepts.items():
        assert actual.concepts[name] == pytest.approx(values, abs=1e-5)
        assert np.ptp(values, axis=0).max() > 1e-3  # texts differ


@pytest.fixture
def other(snapshot):
    """Return a snapshot of the same model under other masks, without patches."""
    model = with_masks(snapshot.model, random_masks(snapshot.model, seed=5))
    return dataclasses.replace(snapshot, model=model, predictor=model.prediction_copy(PREDICTION), patches={})


def test_answers_without_patches_come_from_the_copy_and_others_from_the_model(snapshot, other, corrections, folder):
    """A copy under other masks shows which of both answered."""
    mixed = dataclasses.replace(snapshot, predictor=other.predictor)
    patches = {"patches": [folder.patch]}
    requests = [
        ("/v1/predict", {"texts": TEXTS}),
        ("/v1/predict", {"texts": TEXTS, "options": {"edits": {"food": "Positive"}}}),
        ("/v1/intervene", {"texts": TEXTS, "set": {"noise": "loud"}}),
        ("/v1/predict", {"texts": TEXTS, "options": patches}),
        ("/v1/intervene", {"texts": TEXTS, "set": {"noise": "loud"}, **patches}),
    ]
    explanation = ("/v1/explain", {"texts": TEXTS[:1]})
    of_mixed, of_model, of_other = (
        [answer.json() for answer in ask_all(served_app(each, corrections), *requests, explanation)]
        for each in (mixed, snapshot, other)
    )
    for number, (path, body) in enumerate(requests):
        rows = {"/v1/predict": "predictions", "/v1/intervene": "edits"}[path]
        source, rest = (of_other, of_model) if number < 3 else (of_model, of_other)
        assert of_mixed[number][rows] == close(source[number][rows]), body
        assert of_mixed[number][rows] != close(rest[number].get(rows)), body
    mixed_row, model_row, other_row = (each[-1]["explanations"][0] for each in (of_mixed, of_model, of_other))
    assert mixed_row["label"] == close(other_row["label"]) and mixed_row["label"] != close(model_row["label"])
    for name, concept in mixed_row["concepts"].items():
        assert concept["words"] == close(other_row["concepts"][name]["words"])
        assert concept["subnetwork"] == close(model_row["concepts"][name]["subnetwork"])  # the copy has no masks
        assert concept["subnetwork"] != close(other_row["concepts"][name]["subnetwork"])


@pytest.mark.skipif(not onednn._AVAILABLE, reason="this build of PyTorch has no oneDNN")
def test_predictions_are_multiplied_by_onednn(snapshot, corrections, monkeypatch):
    products, multiply = [], onednn._multiply
    monkeypatch.setattr(onednn, "_multiply", lambda *each: products.append(1) or multiply(*each))
    (answer,) = ask_all(served_app(snapshot, corrections), ("/v1/predict", {"texts": TEXTS}))
    assert products and not any(isinstance(each, onednn._OneDNNLinear) for each in snapshot.predictor.modules())
    expected = [prediction.label.probabilities for prediction in snapshot.model.predict(TEXTS)]
    assert [row["probabilities"] for row in answer.json()["predictions"]] == [close(each) for each in expected]
