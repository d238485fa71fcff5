"""Effects of stored corrections on new texts; results name the corrections."""

from dataclasses import replace

import numpy as np
import pytest

from sparsecbm.intervene.memory.recall import CONTROLS, TextOffers, find_offers, predict_with_corrections, recall_rows
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.intervene.patches.make import make_patch
from sparsecbm.intervene.patches.options import PatchOptions
from sparsecbm.intervene.reference import find_nearest
from tests.support.patches import other_food_state
from tests.support.references import label_follows_food, reference_with_mistakes

TEXT, SAME, OTHER = "the food was bad", "the food was bad", "we came again the place was quiet"


@pytest.fixture
def memory(tmp_path):
    return Memory(tmp_path / "memory")


def test_an_edit_applies_to_a_similar_text_and_the_result_names_it(backbone, memory):
    model = label_follows_food(backbone)
    correction = memory.add(model, TEXT, "food", "Positive")
    similar, different = predict_with_corrections(model, memory, [SAME, OTHER], threshold=0.999)
    assert (similar.before.concepts["food"].state, similar.before.label.state) == ("Negative", "1")
    assert (similar.after.concepts["food"].state, similar.after.label.state) == ("Positive", "3")
    assert similar.acted["food"].correction == correction and similar.acted["food"].likeness == pytest.approx(
        1.0, abs=1e-5
    )
    assert set(similar.acted) == {"food"}
    assert different.acted == {} and different.after == different.before == model.predict([OTHER])[0]


def test_the_most_similar_correction_is_offered(backbone, memory):
    model = label_follows_food(backbone)
    first, second = memory.add(model, TEXT, "food", "Positive"), memory.add(model, OTHER, "food", "Negative")
    results = find_offers(model, memory, [TEXT, OTHER])
    assert [(result.text, result.offers["food"].correction) for result in results] == [(TEXT, first), (OTHER, second)]
    assert find_offers(model, memory, [TEXT], threshold=1.01) == [TextOffers(TEXT, {})]
    assert find_offers(model, Memory(memory.folder / "none"), [TEXT]) == [TextOffers(TEXT, {})]


def test_a_patch_is_applied_for_similar_texts_only(lively, memory):
    text = "a loud place but we came again and the food was bad"
    state = other_food_state(lively, text)
    patch, masks = make_patch(lively, text, "food", state, PatchOptions(40)), lively.masks.content_hash()
    memory.add_patch(lively, text, patch)
    [result] = predict_with_corrections(lively, memory, [text], threshold=0.999)
    with lively.patched(patch):
        expected = lively.predict([text])[0]
    assert result.after.concepts["food"].state == state
    assert result.after.concepts["food"].probabilities == pytest.approx(
        expected.concepts["food"].probabilities, abs=1e-5
    )
    assert result.after.label.probabilities == pytest.approx(expected.label.probabilities, abs=1e-5)
    assert result.acted["food"].correction.kind == "patch"
    assert lively.masks.content_hash() == masks


def test_similarity_is_the_cosine():
    nearest, similarity = find_nearest(
        np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), np.array([[0.0, 5.0], [3.0, 3.0]])
    )
    assert nearest.tolist() == [1, 1, 0]
    assert similarity == pytest.approx([0.5**0.5, 1.0, 0.0])


@pytest.fixture
def halves(backbone):
    """Return two texts for corrections, at 0 and 90 degrees, and four other texts at 0, 10, 80 and 45 degrees."""
    source = reference_with_mistakes(label_follows_food(backbone), rows=4, wrong=2).take(np.arange(2))
    held_out = reference_with_mistakes(label_follows_food(backbone), rows=4, wrong=0)

    def at(*degrees):
        return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)

    def logits(*states):
        return np.eye(3, dtype=np.float32)[list(states)]

    source = replace(source, pooled={"food": at(0, 90)}, gold={"food": np.array([1, 2])}, logits={"food": logits(0, 0)})
    gold = {"food": np.array([1, 0, 2, 1])}
    return source, replace(held_out, pooled={"food": at(0, 10, 80, 45)}, gold=gold, logits={"food": logits(0, 0, 0, 1)})


def test_fixed_and_harmed_texts_depend_on_the_threshold(halves):
    """Text 0 is wrong and gets fixed, 1 is correct and gets harmed, 2 is wrong and gets fixed, 3 stays correct."""
    rows = recall_rows(*halves, thresholds=[1.0, 0.98, 0.5, 1.1], seed=0)
    by_threshold = {r["threshold"]: r for r in rows if r["control"] == "corrections"}
    assert [tuple(row[key] for key in ("acted", "changed", "fixed", "harmed")) for row in by_threshold.values()] == [
        (1, 1, 1, 0), (3, 3, 2, 1), (4, 3, 2, 1), (0, 0, 0, 0)
    ]  # fmt: skip
    assert (by_threshold[0.98]["fixed_share"], by_threshold[0.98]["harmed_share"]) == (1.0, 0.5)
    wrong = {r["threshold"]: r for r in rows if r["control"] == "wrong_state"}
    assert all(row["fixed"] == 0 for row in wrong.values())
    assert wrong[0.5]["harmed"] >= 1
    assert {r["control"] for r in rows} == set(CONTROLS)


def test_a_confirmed_prediction_protects_similar_texts_from_corrections(halves):
    """A confirmed text at 10 degrees is closer to the harmed text than the correction at 0 degrees."""
    source, held_out = halves
    more = replace(
        source,
        texts=np.append(source.texts, "x"),
        pooled={"food": np.append(source.pooled["food"], held_out.pooled["food"][1:2], axis=0)},
        gold={"food": np.array([1, 2, 0])},
        logits={"food": np.eye(3, dtype=np.float32)[[0, 0, 0]]},
    )
    rows = {r["control"]: r for r in recall_rows(more, held_out, thresholds=[0.98], seed=0)}
    assert (rows["corrections"]["fixed"], rows["corrections"]["harmed"]) == (2, 1)
    assert (rows["confirmed"]["fixed"], rows["confirmed"]["harmed"]) == (2, 0)


def test_without_wrong_predictions_there_are_no_corrections(halves):
    source, held_out = halves
    right = replace(source, gold={"food": np.array([0, 0])})
    assert {row["acted"] for row in recall_rows(right, held_out, [0.0], seed=0)} == {0}
