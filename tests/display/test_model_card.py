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


def test_the_card_lists_the_strongest_parts_of_each_subnetwork(backbone):
    def part(index, effect, words=()):
        return {"block": 1, "index": index, "exclusive": 0.25, "effect": effect, "interval": [0.5, 1.5], "words": words}

    neurons = [part(number, 2 - number / 4, ["a|b", "<i>"]) for number in range(5)]
    parts = {"food": {"heads": [part(number, 1.0) for number in range(3)], "neurons": neurons}}
    card = model_card(planted_model(backbone), parts)
    rows = [line for line in card.splitlines() if line.startswith("| food | ") and "1." in line]
    assert len(rows) == 2 + 4
    assert rows[0] == "| food | head 1.0 |  | 1.00 | 0.50 to 1.50 | 25% |"
    assert rows[3] == "| food | neuron 1.1 | a\\|b, &lt;i&gt; | 1.75 | 0.50 to 1.50 | 25% |"
    assert card.index("```python") < card.index("What each subnetwork consists of")
    assert "consists of" not in model_card(planted_model(backbone))


def test_the_card_of_a_black_box_describes_the_label_only(backbone):
    card = model_card(tiny_model(backbone, mode="standard"))
    assert "a black box for comparison" in card and "- mode `standard`" in card
    assert "subnetworks" not in card and "linear function" not in card
