"""Annotated tables with a model's predictions."""

from dataclasses import replace

import numpy as np
import pytest

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.patches.bits import toggled
from sparsecbm.intervene.reference import predict_reference
from tests.support.tiny_models import tiny_model
from tests.support.tiny_tables import annotated


@pytest.fixture
def table():
    frame = annotated(20, seed=3)
    frame.loc[4, "concept.food"] = None
    return frame


def test_a_reference_holds_the_predictions_of_the_model(lively, table):
    reference, raw = predict_reference(lively, table, batch_size=3), lively.logits(table["text"].tolist())
    for name in ("food", "noise"):
        np.testing.assert_allclose(reference.logits[name], raw.concepts[name], atol=1e-5)
    assert lively.label_logits(reference.logits).argmax(-1).tolist() == raw.label.argmax(-1).tolist()
    states = np.array(["Negative", "Positive", "unknown"])[reference.predicted("food")]
    known = table["concept.food"].notna()
    assert reference.correct("food").tolist() == (known & (table["concept.food"] == states)).tolist()
    assert reference.incorrect("food").tolist() == (known & (table["concept.food"] != states)).tolist()
    assert not reference.correct("food")[4]
    assert not reference.incorrect("food")[4]


def test_halves_have_no_common_group_and_contain_every_text(lively, table):
    reference = predict_reference(lively, table)
    first, second = reference.halves(0.3, seed=1)
    assert len(first) == 6  # three of ten groups of two
    assert not set(first.groups) & set(second.groups)
    assert sorted([*first.texts, *second.texts]) == sorted(table["text"])
    assert reference.halves(0.3, seed=1)[0].texts.tolist() == first.texts.tolist()
    assert reference.halves(0.3, seed=2)[0].texts.tolist() != first.texts.tolist()
    joined = first.joined(second)
    joined_order = np.argsort(joined.texts.astype(str), kind="stable")
    original_order = np.argsort(reference.texts.astype(str), kind="stable")
    for mine, expected in (
        (joined.gold, reference.gold),
        (joined.logits, reference.logits),
        (joined.pooled, reference.pooled),
    ):
        for name, values in expected.items():
            np.testing.assert_array_equal(mine[name][joined_order], values[original_order])
    assert (joined.groups[joined_order] == reference.groups[original_order]).all()
    with pytest.raises(InterventionError, match="different models"):
        first.joined(replace(second, checksum="other"))
    remaining = reference.without(["3-0", "3-9"])
    assert len(remaining) == 16
    assert remaining.logits["noise"].shape == (16, 2)


def test_a_reference_belongs_to_one_model_with_one_mask(lively, table):
    reference = predict_reference(lively, table)
    reference.check_model(lively)
    with (
        toggled(lively, "noise", {"encoder.layer.0.output.dense": (0,)}),
        pytest.raises(InterventionError, match="comes from another model or from other masks"),
    ):
        reference.check_model(lively)
    reference.check_model(lively)


def test_models_and_tables_without_predictions_are_an_error(lively, table, backbone):
    with pytest.raises(InterventionError, match="has no concepts"):
        predict_reference(tiny_model(backbone, mode="standard"), table)
    with pytest.raises(InterventionError, match="has no rows"):
        predict_reference(lively, table[:0])
