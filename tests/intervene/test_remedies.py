"""Remedies beside each other: what each does to the same held-out texts."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.head_change import find_head_change
from sparsecbm.intervene.memory.recall import predict_with_corrections
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.intervene.patches.make import Safeguards
from sparsecbm.intervene.patches.side_effects import measure_side_effects
from sparsecbm.intervene.patches.stack import patched_copy
from sparsecbm.intervene.reference import predict_reference
from sparsecbm.intervene.remedies import StateChange, compare_remedies
from sparsecbm.model.checksums import text_checksum
from tests.support.patches import patch_by_hand
from tests.support.planted_model import OUTER
from tests.support.references import label_follows_food
from tests.support.tiny_tables import annotated

# Neuron 0 copies "bad" to dimension 8, neuron 1 copies "good" to dimension 9: [hidden, neurons] is 16 by 32.
BAD, GOOD = 8 * 32 + 0, 9 * 32 + 1
EXAMPLE = "the food was bad the place was loud and slow quick"


@pytest.fixture
def planted(backbone):
    """Return a model that is always right; label 1, 2 or 3 follows food Negative, unknown or Positive."""
    return label_follows_food(backbone)


@pytest.fixture
def table():
    """Return texts, of which people call two with bad food unknown: there the model is wrong."""
    frame = annotated(60, seed=0)
    bad = frame.index[frame["concept.food"] == "Negative"][:2]
    frame.loc[bad, "concept.food"] = "unknown"
    frame.loc[bad, "label"] = "2"
    return frame


@pytest.fixture
def patch(planted):
    """Return a patch without which "bad" is read as Negative, and with which as unknown."""
    made = patch_by_hand(planted, {OUTER: (BAD,)})
    return replace(made, state="unknown", texts=(text_checksum(EXAMPLE),))


def measured_on(model, table):
    """Return safeguards that protect nothing."""
    return Safeguards(reference=predict_reference(model, table))


def by_hand(table, before, after):
    """Return text -> harmed, of the texts whose food or label turns right or wrong."""
    turned = {}
    for text, food, label, old, new in zip(
        table["text"], table["concept.food"], table["label"], before, after, strict=True
    ):
        pairs = (
            (food, old.concepts["food"].state, new.concepts["food"].state),
            (label, old.label.state, new.label.state),
        )
        if any((gold == a) != (gold == b) for gold, a, b in pairs):
            turned[text] = any(gold == a != b for gold, a, b in pairs)
    return turned


def test_a_patch_harms_and_fixes_the_texts_that_the_patched_model_reads_otherwise(planted, table, patch):
    remedy = compare_remedies(planted, patch, [EXAMPLE], measured_on(planted, table))["patch"]
    texts = table["text"].tolist()
    expected = by_hand(table, planted.predict(texts), patched_copy(planted, patch).predict(texts))
    assert {change.text: change.harmed for change in remedy.texts} == expected
    assert sorted(set(expected.values())) == [False, True]
    assert [change.harmed for change in remedy.texts] == sorted((c.harmed for c in remedy.texts), reverse=True)
    first, last = remedy.texts[0], remedy.texts[-1]
    assert (first.concept, first.label) == (
        StateChange("Negative", "Negative", "unknown"), StateChange("1", "1", "2"),
    )  # fmt: skip
    assert (last.concept, last.label) == (StateChange("unknown", "Negative", "unknown"), StateChange("2", "1", "2"))


def test_the_counts_are_those_of_the_side_effects(planted, table, patch):
    reference = predict_reference(planted, table)
    remedy = compare_remedies(planted, patch, [EXAMPLE], Safeguards(reference=reference))["patch"]
    effects = measure_side_effects(planted, "food", patch.flipped, reference, [EXAMPLE])
    counted = effects.harmed.count, effects.fixed.count, effects.label_harmed.count, effects.label_fixed.count
    assert (remedy.harmed, remedy.fixed, remedy.label_harmed, remedy.label_fixed) == counted
    assert remedy.fixed == 2 and remedy.harmed > 2


def test_an_edit_changes_its_own_text_alone(planted, table, patch):
    remedy = compare_remedies(planted, patch, [EXAMPLE], measured_on(planted, table))["edit"]
    assert (remedy.changed, remedy.harmed, remedy.fixed, remedy.texts) == (0, 0, 0, ())
    (own,) = remedy.corrected
    edit = planted.intervene(EXAMPLE, {"food": "unknown"})
    assert own.concept == StateChange("unknown", "Negative", "unknown")
    assert (own.label.before, own.label.after) == (edit.before.label.state, edit.after.label.state) == ("1", "2")


@pytest.mark.parametrize("likeness", [0.9, 0.999])
def test_a_memory_changes_what_recall_changes(planted, table, patch, tmp_path, likeness):
    memory, texts = Memory(tmp_path / "memory"), table["text"].tolist()
    memory.add(planted, EXAMPLE, "food", "unknown")
    results = predict_with_corrections(planted, memory, texts, likeness)
    expected = by_hand(table, [each.before for each in results], [each.after for each in results])
    remedy = compare_remedies(planted, patch, [EXAMPLE], measured_on(planted, table), likeness)["memory"]
    assert {change.text: change.harmed for change in remedy.texts} == expected != {}
    assert remedy.likeness == likeness
    assert remedy.corrected[0].concept.after == "unknown"


def test_a_head_change_harms_and_fixes_the_texts_that_a_model_with_that_head_reads_otherwise(planted, table, patch):
    texts, before = table["text"].tolist(), planted.predict(table["text"].tolist())
    remedy = compare_remedies(planted, patch, [EXAMPLE], measured_on(planted, table))["head"]
    change = find_head_change(planted, [EXAMPLE], "food", "unknown", 0.05)
    head = planted.concept_heads.head("food")
    with torch.no_grad():
        head.weight += torch.from_numpy(change.weight)
        head.bias += torch.from_numpy(change.bias)
    expected = by_hand(table, before, planted.predict(texts))
    assert {each.text: each.harmed for each in remedy.texts} == expected
    assert sorted(set(expected.values())) == [False, True]
    assert remedy.corrected[0].concept == StateChange("unknown", "Negative", "unknown")
    assert remedy.relative_size == pytest.approx(change.relative_size, abs=1e-6)


def test_groups_of_the_corrected_texts_do_not_count(planted, table, patch):
    reference = predict_reference(planted, table)
    text = str(table["text"][7])
    group = table["group"] == table["group"][7]
    remedies = compare_remedies(planted, patch, [text, text], Safeguards(reference=reference))
    assert remedies.texts == 60 - int(table["group"].isin(table["group"][table["text"] == text]).sum()) < 60
    assert not set(table["text"][group]) & {change.text for change in remedies["patch"].texts}
    assert len(remedies["patch"].corrected) == 1
    with pytest.raises(InterventionError, match="no text of the reference is left"):
        compare_remedies(planted, patch, table["text"].tolist(), Safeguards(reference=reference))
    with pytest.raises(InterventionError, match="need a reference"):
        compare_remedies(planted, patch, [EXAMPLE], Safeguards())


def test_texts_without_a_label_of_people_are_neither_harmed_nor_fixed(planted, table, patch):
    bare = table.assign(label=None, **{"concept.food": None})
    remedy = compare_remedies(planted, patch, [EXAMPLE], measured_on(planted, bare))["patch"]
    assert remedy.texts == () and (remedy.harmed, remedy.fixed) == (0, 0)
    read_as_bad = np.array([each.concepts["food"].state == "Negative" for each in planted.predict(list(table["text"]))])
    assert remedy.changed == read_as_bad.sum() > 0


def test_the_published_form_is_json(planted, table, patch):
    remedies = compare_remedies(planted, patch, [EXAMPLE], measured_on(planted, table))
    published = remedies.to_dict()
    assert json.loads(json.dumps(published, allow_nan=False)) == published
    assert [each["kind"] for each in published["remedies"]] == ["patch", "edit", "memory", "head"]
