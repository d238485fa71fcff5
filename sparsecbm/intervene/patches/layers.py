"""The layers in which a patch may flip bits."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.intervene.patches.bits import require_masked_layers
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import block_number, find_blocks


def match_layers(model: ConceptBottleneck, patterns: Sequence[str]) -> list[str]:
    """Return the masked layers whose names match one of the patterns.

    Raises:
        ConfigError: a pattern matches none; the message lists the layers.
        InterventionError: the model has no masks.
    """
    layers = require_masked_layers(model)
    for pattern in patterns:
        if not any(fnmatchcase(layer, pattern) for layer in layers):
            raise ConfigError(unknown("layer pattern", pattern, layers))
    return [layer for layer in layers if any(fnmatchcase(layer, pattern) for pattern in patterns)]


def first_block(model: ConceptBottleneck, patterns: Sequence[str]) -> int:
    """Return the number of the first block that holds one of the matching layers.

    Raises:
        ConfigError, InterventionError: as `match_layers`.
    """
    prefix, _ = find_blocks(model.backbone)
    return min(block_number(layer, prefix) for layer in match_layers(model, patterns))
