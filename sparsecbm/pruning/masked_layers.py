"""The masks of a model that is being pruned, and the layers under them."""

from sparsecbm.base.errors import PruningError
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import MaskedLinear
from sparsecbm.model.masks import MaskSet


def masked_layers(model: ConceptBottleneck) -> dict[str, MaskedLinear]:
    """The layers with masks, by name, in the order of the backbone."""
    return {name: module for name, module in model.backbone.named_modules() if isinstance(module, MaskedLinear)}


def require_masks(model: ConceptBottleneck) -> MaskSet:
    """The model's masks.

    Raises:
        PruningError: it has none.
    """
    masks = model.masks
    if masks is None:
        raise PruningError("the model has no masks; assign `model.masks` before pruning, such as `MaskSet.dense(...)`")
    return masks
