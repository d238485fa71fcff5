"""The model card of a sparse model and of a black box."""

from sparsecbm.display.model_card import model_card
from tests.support.planted_model import planted_masks, planted_model
from tests.support.tiny_models import tiny_model


def test_the_card_of_a_sparse_model_describes_masks_and_concepts(backbone):
    model = planted_model(backbone)
    model.masks = planted_masks()
    card = model_card(model)
    assert card.startswith("---\nlibrary_name: sparsecbm\n") and card.count("---\n") >= 2
    assert "- label `rating`: 1, 2, 3" in card
    assert "| food | Negative, Positive, unknown |\n| noise | loud, quiet |" in card
    shares = ", ".join(f"{name} {share:.1%}" for name, share in model.masks.density().items())
    assert f"of {model.masks.size:,} weights" in card and f"each concept keeps: {shares}" in card
    assert f"bert, {sum(p.numel() for p in model.parameters()):,} parameters" in card
    assert "a linear function of the concept activations (`soft`)" in card


def test_the_card_of_a_black_box_describes_the_label_only(backbone):
    card = model_card(tiny_model(backbone, mode="standard"))
    assert "a black box for comparison" in card and "- mode `standard`" in card
    assert "subnetworks" not in card and "linear function" not in card
