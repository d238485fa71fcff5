"""Swap, probe and ablation on a model with known weights for each concept."""

import json
from dataclasses import replace

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import DataError, ModelError
from sparsecbm.evaluate.evidence import Evidence, gap_excess
from sparsecbm.evaluate.specificity.specificity import SpecificityScores, cross_use, excess, specificity, square_scores
from sparsecbm.model.masks import MaskSet
from tests.support.planted_model import FALLBACK, identical_masks, planted_masks, planted_model
from tests.support.tiny_models import CONCEPTS, random_masks, tiny_model
from tests.support.tiny_tables import annotated

TRAINING, EVALUATED = annotated(150, seed=1), annotated(60, seed=2)


def measured(model):
    return specificity(model, TRAINING, EVALUATED, probe_texts=100, resamples=200, seed=3)


@pytest.fixture(scope="module")
def planted(backbone):
    """Return the scores of the planted model under masks that give each concept its own neurons."""
    model = planted_model(backbone)
    model.masks = planted_masks()
    return measured(model)


@pytest.fixture(scope="module")
def alike(backbone):
    """Return the scores of the planted model under identical masks."""
    model = planted_model(backbone)
    model.masks = identical_masks()
    return measured(model)


# Accuracy of a concept without its neurons.
GUESSED = {name: float((EVALUATED[f"concept.{name}"] == FALLBACK[name]).mean()) for name in FALLBACK}


def approximately(value):
    return pytest.approx(value, abs=1e-6)


def test_the_swap_matrix_follows_from_the_neurons(planted):
    assert 0.2 < GUESSED["food"] < 0.5 < 0.9 > GUESSED["noise"] > 0.3
    swap = planted.scores.swap
    assert swap.matrix == {
        "food": {"food": 1, "noise": approximately(GUESSED["food"])},
        "noise": {"food": approximately(GUESSED["noise"]), "noise": 1},
    }
    assert swap.own == 1 and swap.others == approximately(np.mean(list(GUESSED.values())))
    for name, guessed in GUESSED.items():
        assert swap.gap[name].value == approximately(1 - guessed)
        low, high = swap.gap[name].interval
        assert low < 1 - guessed < high and high - low < 0.5
    assert swap.gap["mean"].value == approximately(1 - np.mean(list(GUESSED.values())))


def test_probes_find_the_words_under_every_mask(planted):
    """Negative control of the swap matrix: heads fail under the other mask, although no information is missing."""
    probe = planted.scores.probe
    assert probe.own == probe.others == 1
    assert probe.gap["mean"].value == 0 and probe.gap["mean"].interval == [0, 0]


def test_ablation_lowers_the_accuracy_of_one_concept_only(planted):
    ablation = planted.scores.ablation
    assert ablation.before == {"food": 1, "noise": 1}
    assert ablation.after == {
        "food": {"food": approximately(GUESSED["food"]), "noise": 1},
        "noise": {"food": 1, "noise": approximately(GUESSED["noise"])},
    }
    for name, guessed in GUESSED.items():
        assert ablation.selectivity[name].value == approximately(1 - guessed)


def test_overlap_and_density_by_hand(planted):
    scores = planted.scores
    # Each neuron has 16 weights in and 16 out, and there are 1,024 weights in all.
    assert scores.density == 960 / 1024 and scores.density_by_concept == {"food": 0.9375, "noise": 0.9375}
    assert scores.overlap.jaccard == scores.overlap.core == 896 / 1024
    assert scores.overlap.exclusive == {"food": 64 / 1024, "noise": 64 / 1024}
    # Random masks: .9375^2 of the weights in both, 2 * .9375 - .9375^2 in either.
    assert scores.overlap.chance == approximately(0.9375**2 / (2 * 0.9375 - 0.9375**2))
    assert scores.overlap.pairs["food"]["noise"].jaccard == scores.overlap.jaccard


def test_identical_masks_have_gap_0(alike):
    for gap in (alike.scores.swap.gap, alike.scores.probe.gap, alike.scores.ablation.selectivity):
        for estimate in gap.values():
            assert estimate.value == 0 and estimate.interval == [0, 0]
    assert alike.scores.ablation.after["food"] == alike.scores.ablation.before


def test_identical_random_masks_have_gap_0_even_with_poor_predictions(model):
    first = random_masks(model)["food"]
    model.masks = MaskSet.from_masks({"food": dict(first), "noise": dict(first)})
    scores = measured(model).scores
    assert scores.swap.own == scores.swap.others < 0.9
    assert scores.swap.gap["mean"].interval == [0, 0] == scores.probe.gap["mean"].interval


def test_excess_is_the_gap_minus_the_gap_of_the_control(planted, alike):
    differences = excess(planted, alike, resamples=200, seed=3)
    assert differences.swap == planted.scores.swap.gap
    assert differences.ablation == planted.scores.ablation.selectivity
    assert differences.probe["mean"].value == 0
    for kind in (excess(planted, planted).swap, excess(planted, planted).ablation):
        assert kind["mean"].value == 0 and kind["mean"].interval == [0, 0]
    assert excess(alike, planted, 200, 3).swap["mean"].value == -differences.swap["mean"].value


def test_ablation_that_lowers_all_concepts_is_not_selective(planted, alike):
    """All concepts share one mask: noise loses the same weights as food."""
    both_fall_without_food = np.tile([1.0, 0.0], (60, 1))
    values = {"food": both_fall_without_food, "noise": both_fall_without_food}
    shared = replace(planted, falls=Evidence(planted.falls.ids, values, planted.falls.clusters))
    for selectivity in (excess(shared, alike).ablation, excess(alike, shared).ablation):
        assert [selectivity[name].value for name in ("food", "noise")] == [0, 0]


def test_excess_over_a_model_with_other_texts_is_an_error(planted, backbone):
    model = planted_model(backbone)
    model.masks = planted_masks()
    other = specificity(model, TRAINING, annotated(60, seed=7), probe_texts=50, resamples=10)
    with pytest.raises(DataError, match="different texts"):
        excess(planted, other)


def test_masks_are_measured_on_a_dense_model_before_any_recovery(backbone):
    model = planted_model(backbone)
    chosen = cross_use(model, planted_masks(), EVALUATED)
    assert model.masks is None
    assert chosen.table() == {
        "food": {"food": 1, "noise": approximately(GUESSED["food"])},
        "noise": {"food": approximately(GUESSED["noise"]), "noise": 1},
    }
    exchanged = {"food": dict(planted_masks()["noise"]), "noise": dict(planted_masks()["food"])}
    control = cross_use(model, MaskSet.from_masks(exchanged), EVALUATED)
    assert square_scores(control, 50, 0).others == 1  # each concept is predicted under the mask of the other
    difference = gap_excess(chosen, control, 200, 0)["food"]
    assert difference.value == approximately(2 * (1 - GUESSED["food"]))


def test_the_measures_do_not_change_the_model(model):
    masks = random_masks(model)
    model.masks = masks
    texts = EVALUATED["text"].tolist()
    before = model.logits(texts).label
    model.train()
    measured(model)
    assert model.training and model.masks == masks
    np.testing.assert_array_equal(model.logits(texts).label, before)


def test_texts_of_unknown_state_do_not_count(backbone):
    """Rows of the fallback state become unknown, so a concept without its neurons is always wrong."""
    model = planted_model(backbone)
    model.masks = planted_masks()
    frame = EVALUATED.copy()
    frame.loc[frame["concept.food"] == "unknown", "concept.food"] = None
    scores = specificity(model, TRAINING, frame, probe_texts=100, resamples=50).scores
    assert scores.swap.matrix["food"] == {"food": 1, "noise": 0}
    assert scores.ablation.after["food"]["food"] == 0 and scores.texts == 60


def test_a_single_concept_has_accuracies_and_no_gap(backbone):
    model = tiny_model(backbone, ConceptSet((Concept("food"),), CONCEPTS.label))
    model.masks = random_masks(model)
    scores = measured(model).scores
    assert scores.swap.own == scores.swap.matrix["food"]["food"] > 0
    assert scores.swap.others is None and scores.swap.gap["mean"].value is None
    assert scores.ablation.selectivity["food"].interval == [None, None]


def test_the_published_form_is_json_with_the_keys_of_the_metrics_file(planted):
    published = json.loads(json.dumps(planted.to_dict(), allow_nan=False))
    assert published["swap"]["matrix"]["food"]["noise"] == approximately(GUESSED["food"])
    assert (published["density"], published["overlap"]["jaccard"], published["overlap"]["chance"]) == (
        0.9375,
        0.875,
        0.882353,
    )
    for kind in ("swap", "probe"):
        assert {"own", "others", "matrix", "gap"} == published[kind].keys()
    assert SpecificityScores(**published) == planted.scores
    Draft202012Validator(SpecificityScores.model_json_schema(mode="serialization")).validate(published)
    assert not {"values", "ids", "falls"} & published.keys()


def test_errors_say_why_a_model_cannot_be_measured(model):
    with pytest.raises(ModelError, match="the model is dense"):
        measured(model)
    model.masks = random_masks(model)
    with pytest.raises(DataError, match="the evaluated table has no rows"):
        specificity(model, TRAINING, EVALUATED.head(0))
