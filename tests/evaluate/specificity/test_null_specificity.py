"""What the masks of null concepts show, on a model with known weights."""

import numpy as np
import pytest
import torch

from sparsecbm.base.concepts import Concept
from sparsecbm.base.errors import DataError
from sparsecbm.evaluate.specificity.null_specificity import null_excess, null_specificity, rank_p_values
from sparsecbm.model.masks import MaskSet
from sparsecbm.pruning.null_concepts import WORD_STATES, NullConcept, with_null_concepts
from tests.support.planted_model import planted_masks, planted_model
from tests.support.tiny_tables import annotated

TABLES = annotated(150, seed=1), annotated(60, seed=2)
GOOD = NullConcept(Concept("word good", WORD_STATES), "food", "word", word="good")
PRESENT = float(TABLES[1]["text"].str.contains("good").mean())


def beside(backbone, mask):
    """Return the planted model with a null concept that reads the copy of "good", and has the mask of a concept.

    Both real concepts have the mask of noise, which drops the neurons of food.
    """
    model = with_null_concepts(planted_model(backbone), [GOOD])
    with torch.no_grad():
        head = model.concept_heads.head(GOOD.name)
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0.01, 0.0]))
        head.weight[0, 15] = head.weight[1, 9] = 1.0  # dimension 15 stays empty
    masks = {name: {layer: m[layer] for layer in m} for name, m in ((m.name, m) for m in planted_masks())}
    model.masks = MaskSet.from_masks({"food": masks["noise"], "noise": masks["noise"], GOOD.name: masks[mask]})
    return model


def test_a_word_with_neurons_of_its_own_stands_out(backbone):
    """By hand: under its own mask every text is right, under others' masks those without the word are."""
    measured = null_specificity(beside(backbone, "food"), [GOOD], TABLES, resamples=200, seed=3)
    scores = measured.scores[GOOD.name]
    assert (scores.kind, scores.companion, scores.accuracy) == ("word", "food", 1)
    assert scores.exclusive == pytest.approx(64 / 1024, abs=1e-6)  # two neurons of 32 weights
    for measure in ("swap", "ablation"):
        estimate = getattr(scores, measure)
        assert estimate.value == pytest.approx(PRESENT, abs=1e-6) and estimate.interval[0] > 0
    assert scores.probe.value == 0  # the residual stream tells a probe of the word under any mask


def test_a_word_without_weights_of_its_own_shows_nothing(backbone):
    scores = null_specificity(beside(backbone, "noise"), [GOOD], TABLES, resamples=200, seed=3).scores[GOOD.name]
    assert scores.accuracy == pytest.approx(1 - PRESENT, abs=1e-6) and scores.exclusive == 0
    for estimate in (scores.swap, scores.probe, scores.ablation):
        assert estimate.value == 0 and estimate.interval == [0, 0]


def test_the_excess_is_paired(backbone):
    own, none = (null_specificity(beside(backbone, m), [GOOD], TABLES, resamples=200) for m in ("food", "noise"))
    over = null_excess(own, none, resamples=200)
    assert over["swap"][GOOD.name].value == pytest.approx(PRESENT, abs=1e-6)
    assert null_excess(own, own, resamples=200)["swap"][GOOD.name].to_dict() == {"value": 0, "interval": [0, 0]}
    half = null_specificity(beside(backbone, "noise"), [GOOD], (TABLES[0], TABLES[1][:30]), resamples=200)
    with pytest.raises(DataError, match="different texts"):
        null_excess(own, half)


def test_p_values_count_the_nulls_that_do_as_well():
    assert rank_p_values({"food": 0.3, "noise": 0.1}, [0.05, 0.1, 0.2, np.float64(0.0)]) == {"food": 0.2, "noise": 0.6}
