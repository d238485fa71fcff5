"""Copies of a model that share its weights."""

import copy
from typing import TypeVar

from torch import nn

from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masks import MaskSet

Model = TypeVar("Model", bound=ConceptBottleneck)


def with_masks(model: Model, masks: MaskSet) -> Model:
    """Return the same model under other masks; the given model, dense or masked, stays as it is.

    Both models share the weights and the tokenizer. The new model has no record of patches, since its masks are new.

    Raises:
        ModelError: the masks are for another model.
    """
    shared = [*model.parameters(), model.tokenizer]
    other = copy.deepcopy(model, {id(part): part for part in shared})
    other.masks = masks
    other.applied_patches = ()
    return other


def frozen_copy(model: Model) -> Model:
    """Return the same model in eval mode, whose weights take no gradients; the given model stays as it is.

    Both share the memory of weights and masks, and the changes of a context. So modules of the copy can be replaced,
    and hooks be added to them, while others use the model.
    """
    shared = [*model.buffers(), model.tokenizer, model.owner]
    frozen = {id(weight): nn.Parameter(weight.detach(), requires_grad=False) for weight in model.parameters()}
    return copy.deepcopy(model, {id(part): part for part in shared} | frozen).eval()
