"""New patches: their effect, what they leave unchanged, and when there is none."""

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import ConfigError, InterventionError
from sparsecbm.intervene.patches.bits import bits_at, toggled
from sparsecbm.intervene.patches.make import HarmfulError, Safeguards, UnreachedError, make_patch
from sparsecbm.intervene.patches.options import PatchOptions
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.protection import protect
from sparsecbm.intervene.patches.stack import apply_patch, patched, remove_patch
from sparsecbm.intervene.reference import predict_reference
from tests.support.patches import STATES, copied_masks, food_state, other_food_state
from tests.support.tiny_models import tiny_model
from tests.support.tiny_tables import annotated

TEXT = "a loud place but we came again and the food was bad"
OPTIONS = PatchOptions(budget=40)
LARGE = PatchOptions(budget=200)


@pytest.fixture
def target(lively):
    """Return a state of food that the model does not predict for TEXT."""
    return other_food_state(lively, TEXT)


@pytest.fixture
def reference(lively):
    return predict_reference(lively, annotated(60, seed=5))


@pytest.fixture
def texts(lively):
    """Return four texts whose predicted food is not Positive."""
    return [text for text in annotated(30, seed=8)["text"] if food_state(lively, text) != "Positive"][:4]


def margin(model, state):
    logits = model.logits([TEXT]).concepts["food"][0]
    index = STATES.index(state)
    return logits[index] - np.delete(logits, index).max()


def test_the_text_gets_the_target_state_with_the_margin(lively, target):
    [before] = lively.predict([TEXT])
    patch = make_patch(lively, TEXT, "food", target, PatchOptions(budget=40, margin=0.3))
    assert lively.predict([TEXT]) == [before]
    with patched(lively, patch):
        [after] = lively.predict([TEXT])
        assert after.concepts["food"].state == target
        assert margin(lively, target) >= 0.3 - 1e-5
    assert patch.after[0].probabilities == pytest.approx(after.concepts["food"].probabilities, abs=1e-5)
    assert patch.before[0].state == before.concepts["food"].state
    assert patch.bits in range(2, 41, 2)
    assert patch.size == lively.masks.size


def test_nothing_but_the_chosen_bits_changes(lively, target):
    masks = copied_masks(lively.masks)
    weights = {name: tensor.clone() for name, tensor in lively.state_dict().items()}
    patch = make_patch(lively, TEXT, "food", target, OPTIONS)
    assert lively.masks == masks
    with patched(lively, patch):
        assert sum(len(p) for p in patch.dropped.values()) == sum(len(p) for p in patch.grown.values())
        assert lively.masks["food"].weights == masks["food"].weights
        for layer in masks.shapes:
            assert torch.equal(lively.masks["noise"][layer], masks["noise"][layer])
    assert all(bits.all() for bits in bits_at(lively, "food", patch.dropped).values())
    assert not any(bits.any() for bits in bits_at(lively, "food", patch.grown).values())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in lively.state_dict().items())


def test_scope_layer_keeps_the_sparsity_of_every_layer(lively, target):
    masks = copied_masks(lively.masks)
    with patched(lively, make_patch(lively, TEXT, "food", target, PatchOptions(budget=40, scope="layer"))):
        assert lively.masks["food"].density_by_layer() == masks["food"].density_by_layer()
        assert food_state(lively, TEXT) == target
    with patched(lively, make_patch(lively, TEXT, "food", target, PatchOptions(budget=200, margin=1.0))):
        assert lively.masks["food"].density_by_layer() != masks["food"].density_by_layer()


def test_only_named_layers_are_touched(lively, target):
    options = PatchOptions(budget=80, layers=("*.1.output.dense", "*.1.intermediate.*"))
    patch = make_patch(lively, TEXT, "food", target, options)
    assert set(patch.flipped) <= {"encoder.layer.1.output.dense", "encoder.layer.1.intermediate.dense"}
    with pytest.raises(ConfigError, match="unknown layer pattern"):
        make_patch(lively, TEXT, "food", target, PatchOptions(budget=40, layers=("*.9.*",)))


def test_random_flips_of_equal_number_rarely_reach_the_state(lively, target):
    """Control: twenty random draws of the same number of dropped and grown bits in the same layers."""
    patch = make_patch(lively, TEXT, "food", target, OPTIONS)
    rng, reached = np.random.default_rng(0), 0
    for _ in range(20):
        flips = {}
        for positions_by_layer, bit in ((patch.dropped, True), (patch.grown, False)):
            for layer, positions in positions_by_layer.items():
                eligible = np.flatnonzero(lively.masks["food"][layer].view(-1).numpy() == bit)
                flips[layer] = (*flips.get(layer, ()), *rng.choice(eligible, len(positions), replace=False).tolist())
        with toggled(lively, "food", flips):
            reached += food_state(lively, TEXT) == target
    assert reached <= 4


def test_flips_for_another_state_give_that_state(lively, target):
    other = other_food_state(lively, TEXT, target)
    with patched(lively, make_patch(lively, TEXT, "food", other, OPTIONS)):
        assert food_state(lively, TEXT) == other


def test_several_texts_are_patched_together_without_duplicates(lively, texts):
    patch = make_patch(lively, [*texts, texts[0]], "food", "Positive", LARGE)
    assert len(patch.texts) == 4
    with patched(lively, patch):
        assert [food_state(lively, text) for text in texts] == ["Positive"] * 4
    assert [prediction.state for prediction in patch.after] == ["Positive"] * 4


def test_a_share_of_the_texts_needs_no_more_bits_than_all(lively, texts):
    some = make_patch(lively, texts, "food", "Positive", PatchOptions(budget=200, min_fixed_share=0.5))
    assert sum(prediction.state == "Positive" for prediction in some.after) >= 2
    assert some.bits <= make_patch(lively, texts, "food", "Positive", LARGE).bits


def test_protection_reduces_harm_to_correct_predictions(lively, reference):
    """For six texts with a wrong prediction, patches with protection harm fewer protected texts than others."""
    protection = protect(lively, reference, "food")
    gold = [STATES.index(state) for state in protection.states]
    harm = {True: [], False: []}
    rows = np.flatnonzero(reference.incorrect("food"))[:6]
    assert len(rows) == 6
    for row in rows:
        state = STATES[reference.gold["food"][row]]
        for is_protected, shares in harm.items():
            patch = make_patch(
                lively, reference.texts[row], "food", state, LARGE, Safeguards(protection if is_protected else None)
            )
            with toggled(lively, "food", patch.flipped):
                after = lively.logits(list(protection.texts)).concepts["food"].argmax(-1)
            shares.append((after != gold).mean())
    assert np.mean(harm[True]) < np.mean(harm[False])


def test_the_patch_records_its_side_effects_and_options(lively, reference, target, tmp_path):
    first, second = reference.halves(0.5, seed=0)
    patch = make_patch(
        lively, TEXT, "food", target, PatchOptions(budget=40, max_harm=1.0),
        Safeguards(protect(lively, first, "food", texts=8), second),
    )  # fmt: skip
    assert patch.side_effects.texts == len(second)
    assert patch.side_effects.bits == patch.bits
    strength = patch.made.pop("strength")
    assert strength in PatchOptions(budget=40).strengths
    assert patch.made == {
        "budget": 40, "margin": 0.05, "share": 1.0, "layers": ["*"], "scope": "global", "caution": 4096.0,
        "protected": 8, "max_harm": 1.0, "forced": False,
    }  # fmt: skip
    patch.save(tmp_path / "food.patch")
    assert MaskPatch.load(tmp_path / "food.patch") == patch


def test_too_much_harm_is_refused_unless_it_is_forced(lively, reference, target):
    refused = PatchOptions(budget=40, max_harm=-1.0)
    with pytest.raises(HarmfulError, match=r"harms \d+ of \d+ correct predictions \(.* -100 % are allowed") as error:
        make_patch(lively, TEXT, "food", target, refused, Safeguards(reference=reference))
    assert error.value.side_effects.bits == error.value.result.bits > 0
    forced = PatchOptions(budget=40, max_harm=-1.0, force=True)
    assert make_patch(lively, TEXT, "food", target, forced, Safeguards(reference=reference)).made["forced"] is True


def test_a_patch_on_top_of_another_knows_its_parent_and_avoids_its_bits(lively, target):
    first = make_patch(lively, TEXT, "food", target, OPTIONS)
    other = "we came again but the place was quiet"
    apply_patch(lively, first)
    goal = other_food_state(lively, other)
    second = make_patch(lively, other, "food", goal, OPTIONS)
    assert second.parent == first.id
    assert second.mask == first.mask
    for layer, positions in second.flipped.items():
        assert not set(positions) & set(first.flipped.get(layer, ()))
    with patched(lively, second):
        assert food_state(lively, other) == goal
    remove_patch(lively, first)
    with pytest.raises(InterventionError, match="which is not in force"):
        apply_patch(lively, second)


def test_a_state_out_of_reach_is_an_error_and_changes_nothing(lively, target):
    masks = copied_masks(lively.masks)
    message = r"2 bits are too few to make 'food' predict .* fixes 0 of 1 texts, with a mean margin of"
    with pytest.raises(UnreachedError, match=message) as failed:
        make_patch(lively, TEXT, "food", target, PatchOptions(budget=2, margin=1e6))
    result = failed.value.result
    assert result.bits <= 2
    assert not result.reached
    assert result.margins.mean() >= result.margins_before.mean()
    assert lively.masks == masks


def test_errors_name_invalid_arguments(lively, reference, target, backbone):
    with pytest.raises(InterventionError, match=r"Did you mean 'food'\? Choices: food, noise"):
        make_patch(lively, TEXT, "foo", target, OPTIONS)
    with pytest.raises(ConfigError, match="Choices: Negative, Positive, unknown"):
        make_patch(lively, TEXT, "food", "good", OPTIONS)
    with pytest.raises(InterventionError, match="no text was given"):
        make_patch(lively, [], "food", target, OPTIONS)
    with pytest.raises(InterventionError, match=r"the model already predicts food=\w+ with the requested margin"):
        make_patch(lively, TEXT, "food", food_state(lively, TEXT), PatchOptions(budget=40, margin=0.0))
    with pytest.raises(InterventionError, match="the model is dense"):
        make_patch(tiny_model(backbone), TEXT, "food", target, OPTIONS)
    other = protect(lively, reference, "noise")
    with pytest.raises(InterventionError, match="the protection belongs to 'noise'"):
        make_patch(lively, TEXT, "food", target, OPTIONS, Safeguards(other))


def test_examples_that_contradict_the_protection_are_an_error(lively, reference):
    protection = protect(lively, reference, "food")
    text, state = protection.texts[0], protection.states[0]
    other = next(s for s in STATES if s != state)
    with pytest.raises(InterventionError, match=f"contradict each other: .* correctly predicted as '{state}'"):
        make_patch(lively, text, "food", other, OPTIONS, Safeguards(protection))


def test_a_stale_protection_is_an_error(lively, reference, target):
    protection = protect(lively, reference, "food")
    with (
        toggled(lively, "food", {"encoder.layer.0.output.dense": (0,)}),
        pytest.raises(InterventionError, match="computed under another mask"),
    ):
        make_patch(lively, TEXT, "food", target, OPTIONS, Safeguards(protection))
