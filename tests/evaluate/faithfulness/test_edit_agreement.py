"""Edited words of pairs, compared with attributions of models with known reasons."""

import pytest

from sparsecbm.evaluate.faithfulness.edit_agreement import measure_edit_agreement, rank_base_texts, single_span_edits
from sparsecbm.explain.attribution import AttributionOptions
from tests.support.planted_model import planted_masks, planted_model
from tests.support.tiny_tables import annotated

OPTIONS = AttributionOptions(steps=4, max_steps=4)


def table(rows):
    """Return an annotated table of rows (group, text, food, edit type)."""
    frame = annotated(len(rows), seed=0)
    for i, (group, text, food, edit) in enumerate(rows):
        frame.loc[i, ["group", "text", "concept.food"]] = group, text, food
        frame.loc[i, "edit_type"] = edit
    return frame


@pytest.fixture
def frame():
    return table(
        [
            ("a", "we came again but the food was good and slow", "Positive", None),
            ("a", "we came again but the food was bad and slow", "Negative", "food"),
            ("b", "a quick place and bad food", "Negative", None),
            ("b", "a quick place and food", "unknown", "food"),
            ("c", "good service", "Positive", None),
            ("c", "bad place", "Negative", "food"),  # no word remains
        ]
    )


def test_edits_are_single_spans_with_a_known_old_state(frame, model):
    edits = single_span_edits(frame, model.concept_set)
    rows = zip(edits.texts, edits.state, edits.edits, strict=True)
    edited_states = [(text[start:end], state) for text, state, edit in rows for start, end in edit.spans]
    assert edited_states == [("good", "Positive"), ("bad", "Negative"), ("bad", "Negative")]
    assert edits.concept == ["food"] * 3 and edits.groups == ["a", "a", "b"]
    assert len(edits.sample(2, 0)) == 2 and edits.sample(3, 0) is edits
    assert set(edits.sample(2, 0).texts) < set(edits.texts)


def test_two_counterfactuals_of_the_same_words_count_once(frame, model):
    rows = [("good", "Positive", None), ("bad", "Negative", "food"), ("dull", "Negative", "food")]
    twice = table([("a", f"the food was {word}", state, edit) for word, state, edit in rows])
    edits = single_span_edits(twice, model.concept_set)
    assert edits.texts == ["the food was good", "the food was bad", "the food was dull"]


def test_a_table_without_edits_has_none(model):
    edits = single_span_edits(annotated(6, 0), model.concept_set)
    assert len(edits) == 0 and measure_edit_agreement(model, edits, ["random"], OPTIONS, 50, 0) == {}


def test_words_used_by_the_planted_model_rank_first_and_random_words_do_not(frame, backbone):
    model = planted_model(backbone)
    model.masks = planted_masks()
    edits = single_span_edits(frame, model.concept_set)
    agreement = measure_edit_agreement(model, edits, ["leave_one_out", "random"], OPTIONS, 100, 0)
    assert set(agreement["leave_one_out"]) == {"food", "all"}
    right, chance = agreement["leave_one_out"]["all"], agreement["random"]["all"]
    assert right.edits == 3 and right.hit_at_1.value == 1 == right.reciprocal_rank.value
    assert chance.hit_at_1.value < 1 and right.hit_at_1.chance == pytest.approx((1 / 10 + 1 / 10 + 1 / 6) / 3, abs=1e-6)
    ranked = rank_base_texts(model, edits, "leave_one_out", OPTIONS)
    assert [len(words) for words in ranked] == [10, 10, 6]
    start, end, _ = max(ranked[2], key=lambda word: word[2])
    assert edits.texts[2][start:end] == "bad"
