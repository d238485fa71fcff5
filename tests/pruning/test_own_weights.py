"""Whether concepts have earned weights of their own, on a model with known weights, and what others get instead."""

import numpy as np
import torch

from sparsecbm.model.masks import MaskSet
from sparsecbm.pruning.own_weights import HeldOut, PooledTexts, _lead, judge_own_weights, with_common_weights
from sparsecbm.train.examples import build_examples
from sparsecbm.train.pooled import pooled_under_masks
from tests.support.planted_model import identical_masks, planted_masks, planted_model
from tests.support.tiny_tables import annotated

TRAINING, VALIDATION = annotated(150, seed=1), annotated(60, seed=2)


def judged(backbone, masks, blocked=True):
    """Judge the planted model; if the words themselves are blocked, heads see the copies of the neurons alone."""
    model = planted_model(backbone)
    if blocked:
        model.backbone.encoder.layer[1].output.LayerNorm.weight.data[:8] = 0
    model.masks = masks
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    held_out = HeldOut(build_examples(VALIDATION, model), VALIDATION["group"].to_numpy())
    examples = build_examples(TRAINING, model)
    training = PooledTexts(examples, pooled_under_masks(model, examples))
    found = judge_own_weights(model, training, held_out, [model.concept_set.names], "unstructured", seed=2)
    assert model.masks == masks and all(torch.equal(model.state_dict()[n], w) for n, w in before.items())
    return found


def own_neurons():
    """Return masks that keep a concept's two neurons and nothing else: 64 of 1,024 weights."""
    common = planted_masks().core()
    masks = {mask.name: {layer: mask[layer] & ~common[layer] for layer in mask} for mask in planted_masks()}
    return MaskSet.from_masks(masks)


def test_concepts_with_neurons_of_their_own_have_earned_them(backbone):
    """Without its two neurons a concept is guessed, and 64 random weights hold next to nothing of them."""
    for own in judged(backbone, own_neurons()).values():
        assert own.earned and own.better.p < 0.01 and own.needed.p < 0.01
        assert own.better.value > 0.1 and own.needed.value > 0.1


def test_a_concept_that_random_masks_tell_as_well_has_earned_nothing(backbone):
    """The words reach the heads past the neurons: under any mask all predictions are right."""
    for own in judged(backbone, planted_masks(), blocked=False).values():
        assert not own.earned and own.better.value == 0


def test_equal_masks_leave_nothing_to_earn(backbone):
    for own in judged(backbone, identical_masks()).values():
        assert not own.earned
        assert (own.needed.value, own.needed.p) == (0, 1)  # no weight is exclusive


# Eight weights; food keeps 0 to 3, noise 0, 1, 3, 4, and the third concept 0, 5, 6, 7.
KEPT = {"food": [0, 1, 2, 3], "noise": [0, 1, 3, 4], "third": [0, 5, 6, 7]}


def masks(kept):
    return MaskSet.from_masks(
        {name: {"a": torch.zeros(8).index_fill(0, torch.tensor(i), 1).bool().view(2, 4)} for name, i in kept.items()}
    )


def kept(mask_set):
    return {mask.name: mask["a"].reshape(-1).nonzero().view(-1).tolist() for mask in mask_set}


def test_a_concept_without_earned_weights_keeps_what_two_others_keep():
    """By hand: food and noise both keep 0, 1 and 3; what is exclusive to them stays so."""
    before, after = masks(KEPT), with_common_weights(masks(KEPT), ["food", "noise"], ("food", "noise", "third"))
    assert kept(after) == {**KEPT, "third": [0, 1, 3]}
    assert after.exclusive("third").weights == 0
    for name, weight in (("food", 2), ("noise", 4)):
        assert kept([after.exclusive(name)]) == kept([before.exclusive(name)]) == {name: [weight]}


def test_null_concepts_have_no_say_in_what_is_common():
    """The third one is null: only food is real and has earned its weights, so both real concepts count."""
    assert kept(with_common_weights(masks(KEPT), ["food", "third"], ("food", "noise"))) == {**KEPT, "noise": [0, 1, 3]}


def test_if_none_has_earned_weights_all_masks_are_the_same():
    after = with_common_weights(masks(KEPT), [], ("food", "noise", "third"))
    assert kept(after) == {name: [0, 1, 3] for name in KEPT}


def test_the_only_concept_keeps_its_mask():
    assert with_common_weights(masks({"food": [1, 2]}), [], ["food"]) == masks({"food": [1, 2]})


def test_masks_stay_if_all_have_earned_theirs():
    assert with_common_weights(masks(KEPT), list(KEPT), list(KEPT)) == masks(KEPT)


def test_the_p_value_counts_flipped_signs_of_groups():
    """By hand: three groups with sums 3, 2 and 1; of 8 sign patterns only one reaches 6, so p is 1/8."""
    lead = _lead(np.array([1.0, 2, 2, 1, np.nan]), np.array(["a", "a", "b", "c", "d"]), seed=0)
    assert (lead.value, lead.p) == (1.5, 0.125)
