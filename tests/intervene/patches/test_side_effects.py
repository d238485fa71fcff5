"""The bill of flips whose side effects are known beforehand."""

import numpy as np
import pytest

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.edits import label_logits
from sparsecbm.intervene.patches.bits import toggled
from sparsecbm.intervene.patches.side_effects import measure_side_effects
from sparsecbm.intervene.reference import predict_concept_logits, predict_reference
from tests.support.planted_model import OUTER, planted_masks, planted_model
from tests.support.tiny_tables import annotated

# Neuron 0 carries "bad" to dimension 8, neuron 1 "good" to dimension 9: [hidden, neurons] is 16 by 32.
BAD, GOOD = 8 * 32 + 0, 9 * 32 + 1


@pytest.fixture
def planted(backbone):
    """It reads every text rightly; without the bit BAD, "bad" is read as unknown."""
    model = planted_model(backbone)
    model.masks = planted_masks()
    return model


@pytest.fixture
def table():
    return annotated(60, seed=0)


def test_the_harm_is_counted(planted, table):
    reference = predict_reference(planted, table)
    bad = int((table["concept.food"] == "Negative").sum())
    bill = measure_side_effects(planted, "food", {OUTER: (BAD,)}, reference)
    assert (bill.texts, bill.bits, bill.share) == (60, 1, 1 / 1024)
    assert bill.concept.before == 1.0
    assert bill.concept.after == round(1 - bad / 60, 6)
    assert (bill.harmed.count, bill.harmed.of) == (bad, 60)
    assert (bill.fixed.count, bill.fixed.of, bill.fixed.share) == (0, 0, None)
    low, high = bill.harmed.interval
    assert low < bill.harmed.share < high
    assert bill.concept.interval == (-high, -low)
    with toggled(planted, "food", {OUTER: (BAD,)}):
        read = planted.logits(table["text"].tolist()).label.argmax(-1)
    gold = table["label"].astype(int).to_numpy() - 1
    assert bill.label.after == pytest.approx((read == gold).mean(), abs=1e-6)
    right = label_logits(planted, reference.logits).argmax(-1) == gold
    assert bill.label.before == pytest.approx(right.mean(), abs=1e-6)
    assert (bill.label_harmed.count, bill.label_harmed.of) == ((right & (read != gold)).sum(), right.sum())
    assert (bill.label_fixed.count, bill.label_fixed.of) == ((~right & (read == gold)).sum(), (~right).sum())


def test_what_is_repaired_is_counted(planted, table):
    """The model starts without the bit; the flip brings it."""
    with toggled(planted, "food", {OUTER: (BAD,)}):
        reference = predict_reference(planted, table)
        bill = measure_side_effects(planted, "food", {OUTER: (BAD,)}, reference)
    bad = int((table["concept.food"] == "Negative").sum())
    assert (bill.fixed.count, bill.fixed.of, bill.fixed.share) == (bad, bad, 1.0)
    assert (bill.harmed.count, bill.harmed.of) == (0, 60 - bad)
    assert bill.concept.after == 1.0


def test_flips_that_change_nothing_cost_nothing(planted, table):
    """Dimension 15 stays empty, so a bit that leads from a silent neuron to it does nothing."""
    bill = measure_side_effects(planted, "food", {OUTER: (15 * 32 + 31,)}, predict_reference(planted, table))
    assert bill.harmed.count == bill.fixed.count == 0
    assert bill.concept.interval == bill.label.interval == (0.0, 0.0)


def test_neighbours_are_the_texts_most_alike(planted, table):
    """By the angle between texts as the concept pools them; those with bad food among them are harmed."""
    reference = predict_reference(planted, table)
    example = "the food was bad the place was loud and slow quick"
    _, (vector,) = predict_concept_logits(planted, "food", [example])
    lengths = np.linalg.norm(reference.pooled["food"], axis=1) * np.linalg.norm(vector)
    nearest = np.argsort(-(reference.pooled["food"] @ vector) / lengths)[:7]
    expected = int((table["concept.food"][nearest] == "Negative").sum())
    bill = measure_side_effects(planted, "food", {OUTER: (BAD,)}, reference, [example], neighbours=7)
    assert (bill.neighbours.texts, bill.neighbours.harmed, bill.neighbours.fixed) == (7, expected, 0)
    assert 0 < expected < 7


def test_the_examples_groups_and_others_are_left_out(planted, table):
    reference = predict_reference(planted, table)
    example = table["text"][7]
    groups = set(table["group"][table["text"] == example])
    left = ~table["group"].isin({*groups, "0-0"})
    assert left.sum() < 58
    bill = measure_side_effects(planted, "food", {OUTER: (GOOD,)}, reference, [example], ["0-0"])
    assert bill.texts == left.sum()
    assert bill.harmed.count == int((table["concept.food"][left] == "Positive").sum())
    with pytest.raises(InterventionError, match="no text of the reference is left"):
        measure_side_effects(planted, "food", {OUTER: (GOOD,)}, reference, leave_out=set(table["group"]))


def test_unknown_states_are_left_out(planted, table):
    table.loc[:9, "concept.food"] = None
    table.loc[10:14, "label"] = None
    bill = measure_side_effects(planted, "food", {OUTER: (BAD,)}, predict_reference(planted, table))
    assert bill.texts == 60
    assert bill.harmed.of == 50
    assert bill.harmed.count == int((table["concept.food"] == "Negative").sum())


def test_a_stale_reference_is_an_error(planted, table):
    reference = predict_reference(planted, table)
    with toggled(planted, "food", {OUTER: (BAD,)}), pytest.raises(InterventionError, match="read it again"):
        measure_side_effects(planted, "food", {OUTER: (GOOD,)}, reference)


def test_its_plain_form_is_json(planted, table):
    import json

    plain = measure_side_effects(planted, "food", {OUTER: (BAD,)}, predict_reference(planted, table)).to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["harmed"].keys() == {"count", "of", "share", "interval"}


def test_one_concept_read_alone_is_read_the_same(lively):
    texts = ["the food was good", "slow", "a loud place but we came again"]
    logits, pooled = predict_concept_logits(lively, "noise", texts, batch_size=2)
    np.testing.assert_allclose(logits, lively.logits(texts).concepts["noise"], atol=1e-5)
    assert pooled.shape == (3, 16)
