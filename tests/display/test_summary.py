"""Models, masks, overlaps and patches as cards and as one line."""

import pytest

from sparsecbm import display
from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.overlap import compute_overlap
from tests.support.explained_model import with_means
from tests.support.patches import patch_by_hand
from tests.support.small_masks import QUERY, first_rows
from tests.support.tiny_models import random_masks, tiny_model


@pytest.fixture
def sparse(model):
    """Return a model whose masks keep 4 and 2 of 16 rows of one layer of 256 weights."""
    model.masks = first_rows(food={QUERY: 4}, noise={QUERY: 2})
    return model


def test_each_result_is_one_short_line(sparse, backbone):
    masks, layers = sparse.masks, len(sparse.masks.shapes)
    food = masks["food"]
    kept = f"keeps 64 of {masks.size:,} weights ({food.density:.1%}) in {layers} layers"
    assert repr(food) == f"<ConceptMask food: {kept}>"
    shares = f"food {food.density:.1%}, noise {masks['noise'].density:.1%}"
    assert repr(masks) == f"<MaskSet: of {masks.size:,} weights in {layers} layers, {shares} are kept>"
    overlap = "0.500 on average, 0.091 by chance; 12.5% in all masks"
    assert repr(compute_overlap(masks)) == f"<Overlap: of 2 masks, {overlap}>"
    patch = patch_by_hand(sparse, {QUERY: (0, 255)})
    flips = f"flips 2 of {masks.size:,} bits for 0 text(s)"
    assert repr(patch) == f"<MaskPatch {patch.id[:12]}: food becomes Positive, {flips}>"
    parameters = sum(parameter.numel() for parameter in sparse.parameters())
    label = "label rating from concepts food, noise"
    assert repr(sparse) == f"<SparseCBM: {label}; bert, {parameters:,} parameters; {masks!r}>"
    assert "; dense>" in repr(tiny_model(backbone))


def test_an_explanation_is_readable_as_it_is_printed(model):
    explanation = with_means(model).explain("the food\x1b[2J was good", method="mid_path_gradients")
    assert repr(explanation) == str(explanation)
    assert len(str(explanation).splitlines()) == 3 and str(explanation).startswith("rating: ")
    assert "\x1b" not in str(explanation)


def test_cards_hold_the_figures(sparse):
    masks = sparse.masks
    cards = {
        "model": (sparse, ["SparseCBM", "rating: 1, 2, 3", f"of {masks.size:,} weights", "loud, quiet"]),
        "masks": (masks, ["Masks", "64", "32", f"{masks['food'].density:.1%}"]),
        "mask": (masks["food"], ["Mask of food", f"64 of {masks.size:,} weights", QUERY, "25.0%"]),
        # food keeps 4 of 16 rows and noise the first 2 of them: 2/4, and .25 * .125 / (.375 - .25 * .125) by chance
        "overlap": (compute_overlap(masks), ["food, noise", "0.500", "0.091", "12.5% of the weights"]),
        "patch": (patch_by_hand(sparse, {QUERY: (0, 255)}, note="why"), ["food should be Positive", "why", QUERY]),
    }
    for value, texts in cards.values():
        html = value._repr_html_()
        assert html.startswith("<div>") and all(text in html for text in texts)
        assert html in value.to_html() and value.to_html().startswith("<!doctype html>")


def test_a_name_with_markup_stays_text(backbone):
    assert display.summary  # registers the cards
    name = "<script>a</script>\x1b[2J"
    model = tiny_model(backbone, ConceptSet((Concept(name), Concept("b")), Concept("<b>l</b>", ("<i>1", "2"))))
    model.masks = random_masks(model)
    patch = patch_by_hand(model, {min(model.masks.shapes): (0,)}, name, note="<img src=x>", author=name)
    for value in (model, model.masks, model.masks[name], compute_overlap(model.masks), patch):
        html = value._repr_html_()
        assert not any(tag in html for tag in ("<script", "<b>", "<i>", "<img")), html
        assert "&lt;script&gt;" in html and "\x1b" not in repr(value)
    assert isinstance(model.masks, MaskSet)
