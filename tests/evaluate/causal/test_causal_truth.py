"""ICaCE errors that the stage reports, on a model with known effects of losing a concept."""

import pytest
import torch

from sparsecbm.base.params import Evaluate
from sparsecbm.evaluate.causal.causal_truth import CausalScores, causal_scores
from sparsecbm.train.examples import build_examples
from sparsecbm.train.modes import fit_hard_head
from tests.support.planted_model import identical_masks, planted_masks, planted_model
from tests.support.tiny_models import tiny_model
from tests.support.tiny_tables import FOOD, annotated


@pytest.fixture(scope="module")
def families():
    """Return originals, each with an edit of food; a third of the edits remove food."""
    frame = annotated(36, seed=5)
    for i in range(1, 36, 2):
        original = frame.loc[i - 1]
        states = [state for state in FOOD if state != original["concept.food"]]
        other = states[(i // 2) % 2]
        frame.loc[i, "text"] = original["text"].replace(FOOD[original["concept.food"]], FOOD[other])
        frame.loc[i, ["concept.food", "concept.noise"]] = other, original["concept.noise"]
    return frame.assign(edit_type=[None, "food"] * 18)


def rated(backbone):
    """Return the dense planted model; bad food gives label 1, no food 2, good food 3, and noise counts a little."""
    model = planted_model(backbone)
    V = [[1, 0, 0, 0.2, 0], [0, 0, 1, 0, 0], [0, 1, 0, 0, 0.2]]  # food: Negative, Positive, unknown; noise: loud, quiet
    with torch.no_grad():
        model.label_head.linear.weight.copy_(8 * torch.tensor(V))
        model.label_head.linear.bias.zero_()
    return model


@pytest.fixture
def planted(backbone):
    model = rated(backbone)
    model.masks = planted_masks()
    return model


def scored(model, frame, training=None):
    training = annotated(60, seed=9) if training is None else training
    params = Evaluate(bootstrap=100, effect_texts=50)
    return causal_scores(model, training, frame, model.logits(frame["text"].tolist()), params, 0)


def test_removal_explainers_predict_the_effect_of_losing_a_concept(planted, families):
    """Without the neurons or words of a concept the planted model predicts `unknown`, as for the edited text."""
    scores = scored(planted, families)
    assert scores.skipped is None and scores.training_texts == 50
    unknown = int((families["concept.food"] == "unknown").sum())
    # Every row of state `unknown` is the counterfactual of one pair that loses the concept.
    assert scores.pairs.pairs == 36 and scores.losing.pairs == unknown == 14
    errors = scores.losing.errors
    for name in ("mask_ablation", "word_removal"):
        assert name not in scores.pairs.errors
        assert errors[name]["l2"].value < 0.2 * errors["zero"]["l2"].value
        assert errors[name]["cosine"].value < 0.1
    assert {"concept_edit", "zero", "random", "conexp", "s_learner"} < set(scores.pairs.errors) < set(errors)
    assert CausalScores.model_validate(scores.to_dict()) == scores


def test_mask_ablation_under_equal_masks_predicts_no_effect(planted, families):
    """Negative control: no weight belongs to one concept alone, so ablation predicts no change."""
    planted.masks = identical_masks()
    errors = scored(planted, families).losing.errors
    assert errors["mask_ablation"]["l2"].value == pytest.approx(errors["zero"]["l2"].value, abs=1e-5)
    assert errors["word_removal"]["l2"].value < 0.2 * errors["zero"]["l2"].value


def test_hard_edits_need_a_hard_head_and_mask_ablation_needs_masks(planted, backbone, families):
    inputs = build_examples(families, planted), planted.logits(families["text"].tolist())
    fit_hard_head(planted, *inputs, *inputs)
    assert {"concept_edit_hard", "concept_edit_hard_gold"} < set(scored(planted, families).pairs.errors)
    dense = scored(rated(backbone), families)
    assert "mask_ablation" not in dense.losing.errors and "word_removal" in dense.losing.errors


def test_removal_explainers_get_a_sample_of_the_pairs(planted, families, monkeypatch):
    full = scored(planted, families)
    monkeypatch.setattr("sparsecbm.evaluate.causal.causal_truth.MOST", 3)
    few = scored(planted, families)
    assert few.losing.pairs == 3 < full.losing.pairs and few.pairs == full.pairs
    assert few == scored(planted, families), "the same sample again"


def test_without_pairs_or_concepts_there_are_no_scores(planted, backbone, families):
    assert scored(planted, annotated(8, 0)) is None
    assert scored(tiny_model(backbone, mode="standard"), families) is None
    no_loss = families[families["concept.food"] != "unknown"].reset_index(drop=True)
    assert scored(planted, no_loss).losing is None


def test_scores_say_why_no_explainer_is_fitted(planted, families):
    for parameter in planted.label_head.parameters():
        parameter.data.zero_()
    scores = scored(planted, families)
    assert scores.pairs is None and "S-Learner" in scores.skipped
