"""How a model is run for prediction: each way gives the same, and `auto` takes the one that fits."""

import pytest
import torch

from sparsecbm.base.errors import ModelError
from sparsecbm.intervene.edits import edited
from sparsecbm.model import execution
from sparsecbm.model.compact import CompactModel, weights_after_cut
from sparsecbm.model.execution import Execution, prediction_copy
from tests.support.small_masks import dense_masks
from tests.support.structured_models import structured
from tests.support.tiny_models import DEEP_FAMILIES, TEXTS, random_masks, tiny_model, write_backbone


@pytest.fixture
def masked(model):
    model.masks = random_masks(model)
    return model


@pytest.mark.parametrize("masks", ["packed", "multiplied"])
def test_each_way_gives_the_same_and_the_model_stays_as_it_is(masked, masks):
    expected = masked.logits(TEXTS)
    fast = prediction_copy(masked, Execution(masks, "float32"))
    actual = fast.logits(TEXTS)
    assert actual.label == pytest.approx(expected.label, abs=1e-6)
    for name, values in expected.concepts.items():
        assert actual.concepts[name] == pytest.approx(values, abs=1e-6)
    assert isinstance(fast, CompactModel) is (masks == "multiplied")
    assert (masked.logits(TEXTS).label == expected.label).all() and masked.masks is not None
    masked.masks = dense_masks(masked)  # the copy is a snapshot, and its masks had an effect
    assert fast.logits(TEXTS).label == pytest.approx(expected.label, abs=1e-6)
    assert masked.logits(TEXTS).label != pytest.approx(expected.label, abs=1e-4)


def test_auto_takes_the_fastest_way_that_fits(masked, monkeypatch):
    assert Execution(precision="float32").resolved(masked) == Execution("multiplied", "float32")
    assert Execution().resolved(masked, texts=63).masks == "packed"
    assert Execution().resolved(masked, texts=64).masks == "multiplied"
    monkeypatch.setattr(execution.os, "sysconf", {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": 1024}.__getitem__)
    assert Execution().resolved(masked).masks == "packed"  # copies would take more than a quarter of 1 KiB
    monkeypatch.undo()
    masked.masks = dense_masks(masked)
    assert Execution().resolved(masked).masks == "multiplied"
    masked.masks = structured(masked)
    assert Execution().resolved(masked).masks == "compact"
    # 4 bytes for each weight that is left; of all memory, a quarter is enough for exactly that many
    memory = 16 * weights_after_cut(masked)
    for less, expected in ((0, "compact"), (16, "packed")):
        sizes = {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": memory - less}
        monkeypatch.setattr(execution.os, "sysconf", sizes.__getitem__)
        assert Execution().resolved(masked).masks == expected


def test_a_dense_model_has_nothing_to_multiply(model):
    assert Execution().resolved(model).masks == "packed"
    assert prediction_copy(model).logits(TEXTS).label == pytest.approx(model.logits(TEXTS).label, abs=1e-2)
    with pytest.raises(ModelError, match="the model has no masks"):
        prediction_copy(model, Execution("multiplied"))


@pytest.mark.parametrize("masks", ["packed", "multiplied"])
def test_edits_count_in_the_context_in_which_the_copy_predicts(masked, masks):
    fast = prediction_copy(masked, Execution(masks, "float32"))
    with edited(masked, {"noise": "loud"}):
        (inside,) = fast.predict(TEXTS[:1])
    assert inside.concepts["noise"].probabilities == {"loud": 1.0, "quiet": 0.0}
    assert fast.predict(TEXTS[0]).concepts["noise"].confidence < 1


@pytest.mark.parametrize(
    ("capabilities", "expected"), [({"amx_bf16": True}, "bf16"), ({"avx512_bf16": True}, "bf16"), ({}, "float32")]
)
def test_auto_computes_in_bf16_if_the_processor_multiplies_it(model, capabilities, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert Execution().resolved(model).precision == expected
    kinds = {parameter.dtype for parameter in prediction_copy(model).backbone.parameters()}
    assert kinds == {torch.bfloat16 if expected == "bf16" else torch.float32}


@pytest.mark.parametrize("family", DEEP_FAMILIES)
@pytest.mark.parametrize("masks", ["packed", "multiplied"])
def test_each_family_predicts_in_bf16(family, masks, tmp_path):
    """Eight significant bits: close to float32, and not equal to it."""
    model = tiny_model(write_backbone(tmp_path / family, family))
    model.masks = random_masks(model, masked_from=1)
    if masks == "multiplied" and not execution.can_multiply(model):
        masks = "packed"
    expected, fast = model.logits(TEXTS), prediction_copy(model, Execution(masks, "bf16"))
    actual = fast.logits(TEXTS)
    for name, values in expected.concepts.items():
        assert actual.concepts[name] == pytest.approx(values, abs=0.03)
        assert (actual.concepts[name] != values).any()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in fast.concept_heads.parameters()} == {torch.float32}
