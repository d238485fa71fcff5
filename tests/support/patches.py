"""Patches by hand, and oracles for the effects of flips."""

import torch

from sparsecbm.intervene.patches.bits import mask_checksum
from sparsecbm.intervene.patches.factors import log_odds
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.model.batches import encode, pad
from sparsecbm.model.checksums import weights_checksum
from sparsecbm.model.masked import weight_leaves
from sparsecbm.model.masks import MaskSet

STATES = ("Negative", "Positive", "unknown")  # of the tiny concept food


def copied_masks(masks: MaskSet) -> MaskSet:
    """Return a copy of masks, which later flips do not change."""
    return MaskSet(masks.concepts, masks.shapes, {layer: bits.clone() for layer, bits in masks.bits.items()})


def food_state(model, text: str) -> str:
    """Return the predicted state of food."""
    return model.predict([text])[0].concepts["food"].state


def other_food_state(model, text: str, *excluded: str) -> str:
    """Return the first state of food that the model does not predict and that is not excluded."""
    return next(state for state in STATES if state not in (food_state(model, text), *excluded))


def patch_by_hand(model, flips, concept="food", **changes) -> MaskPatch:
    """Return a patch of the given positions, each dropped or grown depending on its bit."""
    mask = model.masks[concept]
    kinds = {
        kind: {
            layer: tuple(p for p in positions if mask[layer].view(-1)[p] == active)
            for layer, positions in flips.items()
        }
        for kind, active in (("dropped", True), ("grown", False))
    }
    fields = {"weights": weights_checksum(model), "mask": mask_checksum(mask), "size": model.masks.size}
    return MaskPatch(concept=concept, state="Positive", texts=(), **{**kinds, **fields, **changes})


def gradients_by_autograd(model, concept, text, state):
    """Return the gradient of the log-odds of one text by layer, with leaf tensors instead of the masked weights."""
    ids, mask = pad(encode(model.tokenizer, [text], model.settings.max_length), model.tokenizer.pad_token_id)
    with weight_leaves() as leaves:
        logits = model.concept_heads(model.represent(ids, mask, {concept: torch.arange(1)}))[concept]
        gradients = torch.autograd.grad(log_odds(logits, state[None]).sum(), list(leaves.values()))
    return {layer: gradient for (layer, _), gradient in zip(leaves, gradients, strict=True)}
