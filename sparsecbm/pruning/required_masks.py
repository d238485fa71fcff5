"""The masks of a model that is being pruned."""

from sparsecbm.base.errors import PruningError
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masks import MaskSet


def require_masks(model: ConceptBottleneck) -> MaskSet:
    """The model's masks.

    Raises:
        PruningError: it has none.
    """
    masks = model.masks
    if masks is None:
        raise PruningError("the model has no masks; assign `model.masks` before pruning, such as `MaskSet.dense(...)`")
    return masks
