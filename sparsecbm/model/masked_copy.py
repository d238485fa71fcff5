"""A model under other masks, with its weights shared."""

import copy
from typing import TypeVar

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
