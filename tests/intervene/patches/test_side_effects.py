"""Side effects of flips with known effects."""

import json

import numpy as np
import pytest

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.patches.bits import toggled
from sparsecbm.intervene.patches.side_effects import SideEffectOptions, measure_side_effects
from sparsecbm.intervene.reference import predict_concept_logits, predict_reference
from tests.support.planted_model import OUTER, planted_masks, planted_model
from tests.support.tiny_tables import annotated

# Neuron 0 copies "bad" to dimension 8, neuron 1 copies "good" to dimension 9: [hidden, neurons] is 16 by 32.
BAD, GOOD = 8 * 32 + 0, 9 * 32 + 1


@pytest.fixture
def planted(backbone):
    """Return a model that is always correct; without the bit BAD it predicts unknown for "bad" food."""
    model = planted_model(backbone)
    model.masks = planted_masks()
    return model


@pytest.fixture
def table():
    return annotated(60, seed=0)


def test_harmed_texts_are_counted(planted, table):
    reference = predict_reference(planted, table)
    bad = int((table["concept.food"] == "Negative").sum())
    effects = measure_side_effects(planted, "food", {OUTER: (BAD,)}, reference)
    assert (effects.texts, effects.bits, effects.share) == (60, 1, 1 / 1024)
    assert effects.concept.before == 1.0
    assert effects.concept.after == round(1 - bad / 60, 6)
    assert (effects.harmed.count, effects.harmed.of) == (bad, 60)
    assert (effects.fixed.count, effects.fixed.of, effects.fixed.share) == (0, 0, None)
    low, high = effects.harmed.interval
    assert low < effects.harmed.share < high
    assert effects.concept.interval == (-high, -low)
    with toggled(planted, "food", {OUTER: (BAD,)}):
        labels = planted.logits(table["text"].tolist()).label.argmax(-1)
    gold = table["label"].astype(int).to_numpy() - 1
    assert effects.label.after == pytest.approx((labels == gold).mean(), abs=1e-6)
    correct = planted.label_logits(reference.logits).argmax(-1) == gold
    assert effects.label.before == pytest.approx(correct.mean(), abs=1e-6)
    assert (effects.label_harmed.count, effects.label_harmed.of) == ((correct & (labels != gold)).sum(), correct.sum())
    assert (effects.label_fixed.count, effects.label_fixed.of) == (
        (~correct & (labels == gold)).sum(),
        (~correct).sum(),
    )


def test_fixed_texts_are_counted(planted, table):
    """The model starts without the bit; the flip restores it."""
    with toggled(planted, "food", {OUTER: (BAD,)}):
        reference = predict_reference(planted, table)
        effects = measure_side_effects(planted, "food", {OUTER: (BAD,)}, reference)
    bad = int((table["concept.food"] == "Negative").sum())
    assert (effects.fixed.count, effects.fixed.of, effects.fixed.share) == (bad, bad, 1.0)
    assert (effects.harmed.count, effects.harmed.of) == (0, 60 - bad)
    assert effects.concept.after == 1.0


def test_flips_that_change_nothing_have_no_side_effects(planted, table):
    """Dimension 15 stays empty, so a bit from an inactive neuron to it has no effect."""
    effects = measure_side_effects(planted, "food", {OUTER: (15 * 32 + 31,)}, predict_reference(planted, table))
    assert effects.harmed.count == effects.fixed.count == 0
    assert effects.concept.interval == effects.label.interval == (0.0, 0.0)
    groups = table["group"].nunique()
    assert effects.harmed.interval == (0, pytest.approx(1.96**2 / (groups + 1.96**2), abs=1e-4)), "Wilson, by hand"


def test_neighbours_are_the_most_similar_texts(planted, table):
    """Similarity is the cosine of the pooled texts. Neighbours with bad food are harmed."""
    reference = predict_reference(planted, table)
    example = "the food was bad the place was loud and slow quick"
    _, (vector,) = predict_concept_logits(planted, "food", [example])
    lengths = np.linalg.norm(reference.pooled["food"], axis=1) * np.linalg.norm(vector)
    nearest = np.argsort(-(reference.pooled["food"] @ vector) / lengths)[:7]
    expected = int((table["concept.food"][nearest] == "Negative").sum())
    assert 0 < expected < 7
    options = SideEffectOptions(neighbours=7)
    effects = measure_side_effects(planted, "food", {OUTER: (BAD,)}, reference, [example], options)
    assert (effects.neighbours.texts, effects.neighbours.harmed, effects.neighbours.fixed) == (7, expected, 0)


def test_groups_of_the_examples_do_not_count(planted, table):
    reference = predict_reference(planted, table)
    example = table["text"][7]
    groups = set(table["group"][table["text"] == example])
    remaining = ~table["group"].isin(groups)
    assert remaining.sum() < 60
    effects = measure_side_effects(planted, "food", {OUTER: (GOOD,)}, reference, [example])
    assert effects.texts == remaining.sum()
    assert effects.harmed.count == int((table["concept.food"][remaining] == "Positive").sum())
    with pytest.raises(InterventionError, match="no text of the reference is left"):
        measure_side_effects(planted, "food", {OUTER: (GOOD,)}, reference, table["text"].tolist())


def test_unknown_states_do_not_count(planted, table):
    table.loc[:9, "concept.food"] = None
    table.loc[10:14, "label"] = None
    effects = measure_side_effects(planted, "food", {OUTER: (BAD,)}, predict_reference(planted, table))
    assert effects.texts == 60
    assert effects.harmed.of == 50
    assert effects.harmed.count == int((table["concept.food"] == "Negative").sum())


def test_a_stale_reference_is_an_error(planted, table):
    reference = predict_reference(planted, table)
    with toggled(planted, "food", {OUTER: (BAD,)}), pytest.raises(InterventionError, match="predict it again"):
        measure_side_effects(planted, "food", {OUTER: (GOOD,)}, reference)


def test_the_published_form_is_json(planted, table):
    effects = measure_side_effects(planted, "food", {OUTER: (BAD,)}, predict_reference(planted, table))
    published = effects.to_dict()
    assert json.loads(json.dumps(published, allow_nan=False)) == published
    assert published["harmed"] == {
        "count": effects.harmed.count, "of": 60, "share": effects.harmed.share,
        "interval": list(effects.harmed.interval),
    }  # fmt: skip


def test_predictions_of_one_concept_equal_those_with_all_concepts(lively):
    texts = ["the food was good", "slow", "a loud place but we came again"]
    logits, pooled = predict_concept_logits(lively, "noise", texts, batch_size=2)
    np.testing.assert_allclose(logits, lively.logits(texts).concepts["noise"], atol=1e-5)
    assert pooled.shape == (3, 16)
