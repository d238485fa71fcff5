"""Patches that are found: what they reach, what they leave alone, and when there is none."""

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import ConfigError, InterventionError
from sparsecbm.intervene.patches.bits import bits_at, toggled
from sparsecbm.intervene.patches.make import HarmfulError, UnreachedError, make_patch
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.protection import protect
from sparsecbm.intervene.patches.search import Aim
from sparsecbm.intervene.patches.stack import apply_patch, patched, remove_patch
from sparsecbm.intervene.reference import predict_reference
from tests.intervene.patches.test_bits import copied
from tests.support.tiny_models import tiny_model
from tests.support.tiny_tables import annotated

TEXT = "a loud place but we came again and the food was bad"
BUDGET = 40


@pytest.fixture
def wanted(lively):
    """A state of food that TEXT does not read as."""
    read = lively.predict([TEXT])[0].concepts["food"].state
    return next(state for state in ("Negative", "Positive", "unknown") if state != read)


@pytest.fixture
def reference(lively):
    return predict_reference(lively, annotated(60, seed=5))


def read(model, text=TEXT, concept="food"):
    return model.predict([text])[0].concepts[concept]


def margin(model, state, text=TEXT):
    logits = model.logits([text]).concepts["food"][0]
    index = ("Negative", "Positive", "unknown").index(state)
    return logits[index] - np.delete(logits, index).max()


def test_it_makes_the_text_read_as_wanted_by_the_margin(lively, wanted):
    before = read(lively)
    patch = make_patch(lively, TEXT, "food", wanted, BUDGET, margin=0.3)
    assert read(lively) == before
    with patched(lively, patch):
        assert read(lively).state == wanted
        assert margin(lively, wanted) >= 0.3 - 1e-5
        assert patch.after[0].probabilities == pytest.approx(read(lively).probabilities, abs=1e-5)
    assert patch.before[0].state == before.state
    assert 0 < patch.bits <= BUDGET
    assert patch.size == lively.masks.size


def test_nothing_but_the_chosen_bits_changes(lively, wanted):
    masks = copied(lively.masks)
    weights = {name: tensor.clone() for name, tensor in lively.state_dict().items()}
    patch = make_patch(lively, TEXT, "food", wanted, BUDGET)
    assert lively.masks == masks
    with patched(lively, patch):
        assert sum(len(p) for p in patch.dropped.values()) == sum(len(p) for p in patch.grown.values())
        assert lively.masks["food"].weights == masks["food"].weights
        for layer in masks.shapes:
            assert torch.equal(lively.masks["noise"][layer], masks["noise"][layer])
    assert all(bits.all() for bits in bits_at(lively, "food", patch.dropped).values())
    assert not any(bits.any() for bits in bits_at(lively, "food", patch.grown).values())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in lively.state_dict().items())


def test_by_layer_every_layer_stays_as_sparse(lively, wanted):
    masks = copied(lively.masks)
    patch = make_patch(lively, TEXT, "food", wanted, BUDGET, scope="layer")
    with patched(lively, patch):
        assert lively.masks["food"].density_by_layer() == masks["food"].density_by_layer()
        assert read(lively).state == wanted
    whole = make_patch(lively, TEXT, "food", wanted, 200, margin=1.0)
    with patched(lively, whole):
        assert lively.masks["food"].density_by_layer() != masks["food"].density_by_layer()


def test_only_layers_that_were_named_are_touched(lively, wanted):
    patch = make_patch(lively, TEXT, "food", wanted, 2 * BUDGET, layers=["*.1.output.dense", "*.1.intermediate.*"])
    assert set(patch.flipped) <= {"encoder.layer.1.output.dense", "encoder.layer.1.intermediate.dense"}
    with pytest.raises(ConfigError, match="unknown layer pattern"):
        make_patch(lively, TEXT, "food", wanted, BUDGET, layers=["*.9.*"])


def test_random_flips_of_equal_number_do_not_do_it(lively, wanted):
    """The control: of twenty draws, as many dropped as grown in the same layers, few flip the reading."""
    patch = make_patch(lively, TEXT, "food", wanted, BUDGET)
    draw, reached = np.random.default_rng(0), 0
    for _ in range(20):
        flips = {}
        for kind, bit in ((patch.dropped, True), (patch.grown, False)):
            for layer, positions in kind.items():
                members = np.flatnonzero(lively.masks["food"][layer].view(-1).numpy() == bit)
                flips[layer] = (*flips.get(layer, ()), *draw.choice(members, len(positions), replace=False).tolist())
        with toggled(lively, "food", flips):
            reached += read(lively).state == wanted
    assert reached <= 4


def test_flips_for_another_state_do_not_do_it(lively, wanted):
    other = next(s for s in ("Negative", "Positive", "unknown") if s not in (wanted, read(lively).state))
    with patched(lively, make_patch(lively, TEXT, "food", other, BUDGET)):
        assert read(lively).state == other


def test_several_texts_at_once(lively):
    texts = [text for text in annotated(30, seed=8)["text"] if read(lively, text).state != "Positive"][:4]
    patch = make_patch(lively, [*texts, texts[0]], "food", "Positive", 200)
    assert len(patch.texts) == 4
    with patched(lively, patch):
        assert {read(lively, text).state for text in texts} == {"Positive"}
    assert [reading.state for reading in patch.after] == ["Positive"] * 4


def test_a_share_of_the_texts_may_suffice(lively):
    texts = [text for text in annotated(30, seed=8)["text"] if read(lively, text).state != "Positive"][:4]
    some = make_patch(lively, texts, "food", "Positive", 200, share=0.5)
    assert sum(reading.state == "Positive" for reading in some.after) >= 2
    assert some.bits <= make_patch(lively, texts, "food", "Positive", 200).bits


def test_protection_spares_right_readings(lively, reference):
    """Over all misread texts, protected patches move the protected readings less than free ones do."""
    protection = protect(lively, reference, "food")
    moved = {True: [], False: []}
    rows = np.flatnonzero(reference.wrong("food"))[:6]
    for row in rows:
        state = ("Negative", "Positive", "unknown")[reference.gold["food"][row]]
        for protected in moved:
            patch = make_patch(
                lively, reference.texts[row], "food", state, 200, protection=protection if protected else None
            )
            with toggled(lively, "food", patch.flipped):
                after = lively.logits(list(protection.texts)).concepts["food"].argmax(-1)
            right = [("Negative", "Positive", "unknown").index(state) for state in protection.states]
            moved[protected].append((after != right).mean())
    assert len(rows) == 6
    assert np.mean(moved[True]) < np.mean(moved[False])


def test_more_caution_starts_from_more_protection():
    assert Aim(4).strengths == [256, 128, 64, 32, 16, 8, 4, 2, 1, 0.5, 0.25]
    assert Aim(4, protection_strength=1024).strengths == [1024, 512, *Aim(4).strengths]
    assert Aim(4, protection_strength=0.1).strengths == [0.1]
    with pytest.raises(ConfigError, match="caution is above 0, not 0"):
        Aim(4, protection_strength=0)


def test_a_patch_carries_its_bill_and_how_it_was_made(lively, reference, wanted, tmp_path):
    first, second = reference.halves(0.5, seed=0)
    protection = protect(lively, first, "food", texts=8)
    patch = make_patch(
        lively,
        TEXT,
        "food",
        wanted,
        BUDGET,
        protection=protection,
        reference=second,
        max_harm=1.0,
        author="Ann",
        note="x",
    )
    assert patch.side_effects["texts"] == len(second)
    assert patch.side_effects["bits"] == patch.bits
    assert (patch.made["protected"], patch.made["budget"], patch.made["forced"]) == (8, BUDGET, False)
    assert (patch.author, patch.note) == ("Ann", "x")
    patch.save(tmp_path / "food.patch")
    assert MaskPatch.load(tmp_path / "food.patch") == patch


def test_too_much_harm_is_refused_unless_it_is_forced(lively, reference, wanted):
    with pytest.raises(HarmfulError, match=r"spoils \d+ of \d+ right readings") as refused:
        make_patch(lively, TEXT, "food", wanted, BUDGET, reference=reference, max_harm=-1.0)
    assert refused.value.bill.bits == refused.value.found.bits > 0
    forced = make_patch(lively, TEXT, "food", wanted, BUDGET, reference=reference, max_harm=-1.0, force=True)
    assert forced.made["forced"] is True


def test_on_top_of_a_patch_it_knows_its_parent_and_keeps_off_its_bits(lively, wanted):
    first = make_patch(lively, TEXT, "food", wanted, BUDGET)
    other = "we came again but the place was quiet"
    apply_patch(lively, first)
    goal = next(s for s in ("Negative", "Positive", "unknown") if s != read(lively, other).state)
    second = make_patch(lively, other, "food", goal, BUDGET)
    assert second.parent == first.id
    assert second.mask == first.mask
    for layer, positions in second.flipped.items():
        assert not set(positions) & set(first.flipped.get(layer, ()))
    with patched(lively, second):
        assert read(lively, other).state == goal
    remove_patch(lively, first)
    with pytest.raises(InterventionError, match="which is not in force"):
        apply_patch(lively, second)


def test_a_state_out_of_reach_is_reported_and_changes_nothing(lively, wanted):
    masks = copied(lively.masks)
    with pytest.raises(UnreachedError, match=r"2 bits do not make 'food' read .* its mean margin is") as failed:
        make_patch(lively, TEXT, "food", wanted, 2, margin=1e6)
    assert failed.value.found.bits <= 2
    assert not failed.value.found.reached
    assert failed.value.found.margins.mean() >= failed.value.found.margins_before.mean()
    assert lively.masks == masks


@pytest.mark.parametrize("budget", [0, 1, -4])
def test_a_budget_of_nothing_is_an_error(lively, wanted, budget):
    with pytest.raises(InterventionError, match=f"a budget of {budget} bits allows no patch"):
        make_patch(lively, TEXT, "food", wanted, budget)


def test_bad_input_is_named(lively, reference, wanted, backbone):
    with pytest.raises(InterventionError, match=r"Did you mean 'food'\? Choices: food, noise"):
        make_patch(lively, TEXT, "foo", wanted, BUDGET)
    with pytest.raises(ConfigError, match="Choices: Negative, Positive, unknown"):
        make_patch(lively, TEXT, "food", "good", BUDGET)
    with pytest.raises(InterventionError, match="no text was given"):
        make_patch(lively, [], "food", wanted, BUDGET)
    with pytest.raises(InterventionError, match=r"reads .* already"):
        make_patch(lively, TEXT, "food", read(lively).state, BUDGET, margin=0.0)
    with pytest.raises(InterventionError, match="the model is dense"):
        make_patch(tiny_model(backbone), TEXT, "food", wanted, BUDGET)
    with pytest.raises(ConfigError, match="unknown scope"):
        Aim(4, scope="model")
    with pytest.raises(ConfigError, match=r"in \(0, 1\]"):
        Aim(4, share=0.0)
    other = protect(lively, reference, "noise")
    with pytest.raises(InterventionError, match="the protection is of 'noise'"):
        make_patch(lively, TEXT, "food", wanted, BUDGET, protection=other)


def test_contradictory_examples_are_an_error(lively, reference):
    protection = protect(lively, reference, "food")
    text, state = protection.texts[0], protection.states[0]
    other = next(s for s in ("Negative", "Positive", "unknown") if s != state)
    with pytest.raises(InterventionError, match=f"contradictory: .* read it rightly as '{state}'"):
        make_patch(lively, text, "food", other, BUDGET, protection=protection)


def test_a_stale_protection_is_an_error(lively, reference, wanted):
    protection = protect(lively, reference, "food")
    with (
        toggled(lively, "food", {"encoder.layer.0.output.dense": (0,)}),
        pytest.raises(InterventionError, match="taken under another mask"),
    ):
        make_patch(lively, TEXT, "food", wanted, BUDGET, protection=protection)
