"""Controls for patches: flips and states that are chosen without the knowledge that a patch uses."""

import numpy as np

from sparsecbm.intervene.patches.bits import concept_index
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.model.cbm import ConceptBottleneck


def draw_random_flips(
    model: ConceptBottleneck, patch: MaskPatch, rng: np.random.Generator
) -> dict[str, tuple[int, ...]]:
    """Draw as many bits as a patch drops and grows in each layer, uniformly among all bits of that kind."""
    concept_index(model, patch.concept)
    mask = model.masks[patch.concept]
    flips: dict[str, tuple[int, ...]] = {}
    for positions_by_layer, bit in ((patch.dropped, True), (patch.grown, False)):
        for layer, positions in sorted(positions_by_layer.items()):
            eligible = np.flatnonzero(mask[layer].reshape(-1).cpu().numpy() == bit)
            drawn = rng.choice(eligible, min(len(positions), len(eligible)), replace=False)
            flips[layer] = (*flips.get(layer, ()), *map(int, drawn))
    return flips


def choose_wrong_state(states: int, gold: int, predicted: int) -> int | None:
    """Return a state that is neither annotated nor predicted; None for a concept of two states."""
    others = [state for state in range(states) if state not in (gold, predicted)]
    return others[0] if others else None
