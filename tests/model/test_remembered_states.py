"""A copy that remembers the states below a block gives what the model gives, and runs no block below again."""

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import ModelError
from sparsecbm.intervene.patches.bits import toggled
from sparsecbm.intervene.patches.factors import compute_factors
from sparsecbm.model.remembered_states import SHARED, RememberedStates, remembering_copy
from tests.support.tiny_models import DEEP_FAMILIES, TEXTS, random_masks, tiny_model, write_backbone

FIRST = 1  # of four blocks, the first with masks


@pytest.fixture(params=sorted(DEEP_FAMILIES))
def deep(request, tmp_path):
    model = tiny_model(write_backbone(tmp_path / "backbone", request.param, **DEEP_FAMILIES[request.param]))
    model.masks = random_masks(model, masked_from=FIRST)
    return model


@pytest.mark.parametrize("block", [FIRST, 3])
def test_predictions_are_those_of_the_model_before_and_after_states_are_remembered(deep, block):
    expected = deep.logits(TEXTS)
    remembered = RememberedStates(block)
    copied = remembering_copy(deep, remembered)
    for _ in range(2):
        logits = copied.logits(TEXTS)
        for name in expected.concepts:
            np.testing.assert_allclose(logits.concepts[name], expected.concepts[name], atol=2e-6)
    concepts = {SHARED} if block == FIRST else {0, 1}
    assert {concept for concept, _ in remembered.states} == concepts
    assert len(remembered.states) == len(TEXTS) * len(concepts)


def test_states_that_were_loaded_are_used_and_others_are_computed(deep):
    remembered = RememberedStates(3)
    remembering_copy(deep, remembered).logits(TEXTS[:2])
    loaded = RememberedStates.from_tensors(3, remembered.to_tensors())
    copied = remembering_copy(deep, loaded)
    np.testing.assert_allclose(copied.logits(TEXTS).label, deep.logits(TEXTS).label, atol=2e-6)
    assert len(loaded.states) == 2 * len(TEXTS) and len(remembered.states) == 4


def test_wrong_states_give_wrong_predictions(model):
    """Negative control: the copy does use what it remembers."""
    model.masks = random_masks(model)
    remembered = RememberedStates(1)
    remembering_copy(model, remembered).logits(TEXTS)
    wrong = RememberedStates(1, {key: states + 1.0 for key, states in remembered.states.items()})
    logits = remembering_copy(model, wrong).logits(TEXTS).concepts["food"]
    assert not np.allclose(logits, model.logits(TEXTS).concepts["food"], atol=1e-3)


def test_effects_and_flips_in_the_blocks_above_are_those_of_the_model(lively):
    states, layer = torch.tensor([0, 1, 2]), "encoder.layer.1.output.dense"
    copied = remembering_copy(lively, RememberedStates(1))
    flips = {layer: list(range(200))}
    with toggled(lively, "food", flips):
        logits, factors = compute_factors(lively, "food", TEXTS, states)
        copied_logits, copied_factors = compute_factors(copied, "food", TEXTS, states)
    assert set(copied_factors) == {name for name in factors if ".1." in name}
    torch.testing.assert_close(copied_logits, logits)
    for name, copied_factor in copied_factors.items():
        torch.testing.assert_close(copied_factor.gradient(torch.ones(3)), factors[name].gradient(torch.ones(3)))
    unflipped, _ = compute_factors(lively, "food", TEXTS, states)
    assert not torch.allclose(unflipped, logits, atol=1e-3)


def test_the_model_itself_is_not_changed(lively):
    expected = lively.logits(TEXTS).label
    remembering_copy(lively, RememberedStates(1)).logits(TEXTS)
    np.testing.assert_array_equal(lively.logits(TEXTS).label, expected)


def test_a_block_without_masks_is_an_error(deep):
    for block in (0, 4):
        with pytest.raises(ModelError, match=f"block {block} is not among the masked blocks 1 to 3"):
            remembering_copy(deep, RememberedStates(block))
