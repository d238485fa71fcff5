"""What a patch must be better than: flips that know less."""

import numpy as np

from sparsecbm.intervene.patches.bits import concept_index
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.model.cbm import ConceptBottleneck


def random_flips(model: ConceptBottleneck, patch: MaskPatch, draw: np.random.Generator) -> dict[str, tuple[int, ...]]:
    """As many bits as a patch drops and grows in each layer, drawn evenly among those that could be."""
    concept_index(model, patch.concept)
    mask = model.masks[patch.concept]
    found: dict[str, tuple[int, ...]] = {}
    for kind, bit in ((patch.dropped, True), (patch.grown, False)):
        for layer, positions in sorted(kind.items()):
            members = np.flatnonzero(mask[layer].reshape(-1).cpu().numpy() == bit)
            drawn = draw.choice(members, min(len(positions), len(members)), replace=False)
            found[layer] = (*found.get(layer, ()), *map(int, drawn))
    return found


def wrong_state(states: int, gold: int, read: int) -> int | None:
    """A state that is neither the annotated one nor the one that is read; None where there are but two."""
    left = [state for state in range(states) if state not in (gold, read)]
    return left[0] if left else None
