"""Do attributions depend on the model at all? They must change when the model is randomised.

After Adebayo et al. (arXiv 1810.03292): weights are randomised part by part from the top down, and randomised parts
stay random. In another step, only the masks are randomised. The score is the rank correlation with the original
attributions, for the originally predicted states: how much of the order of the words is left.

Randomised means shuffled. Every tensor keeps its values, and every layer of masks keeps its densities and overlaps.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from zlib import crc32

import numpy as np
import torch
from torch import nn

from sparsecbm.base.progress import progress
from sparsecbm.evaluate.evidence import Estimate
from sparsecbm.evaluate.faithfulness.aopc import Item
from sparsecbm.evaluate.faithfulness.item_groups import ItemGroups, mean_by_concept
from sparsecbm.evaluate.faithfulness.rank_agreement import rank_correlation
from sparsecbm.explain.attribution import Attribution, AttributionOptions, attribute
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import find_blocks
from sparsecbm.model.masked_copy import with_masks
from sparsecbm.pruning.random_control import matched_random

ORIGINAL, MASKS, HEADS, REST = "original", "masks", "heads", "embeddings"


def randomised(model: ConceptBottleneck, seed: int) -> Iterator[tuple[str, ConceptBottleneck]]:
    """The original model, the model under random masks, and models with more and more randomised weights, by name.

    The names are `original`, `masks` (if there are masks), `heads`, `block N` from the last to the first, and
    `embeddings` (everything else). The iterator changes a model when it goes on to the next one; the given model does
    not change.
    """
    yield ORIGINAL, model
    if model.masks is not None:
        yield MASKS, with_masks(model, matched_random(model.masks, seed))
    changed = copy.deepcopy(model)
    _, block_list = find_blocks(changed.backbone)
    parts: list[tuple[str, nn.Module]] = [(HEADS, changed.concept_heads)]
    parts += [(f"block {number}", block_list[number]) for number in reversed(range(len(block_list)))]
    done: set[int] = set()
    for name, part in [*parts, (REST, changed.backbone)]:
        _shuffle(part, done, seed)
        yield name, changed


def sanity(
    model: ConceptBottleneck,
    texts: Sequence[str],
    items: Sequence[Item],
    groups: ItemGroups,
    methods: Sequence[str],
    options: AttributionOptions,
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Rank correlation with the original attributions: method -> what is randomised -> by concept, and `mean`.

    Args:
        texts: the texts of the items
        groups: of the items; its seed also randomises the model
    """
    names = model.concept_set.names
    logits = model.logits(texts).concepts
    states = {name: [model.concept_set[name].states[index] for index in logits[name].argmax(1)] for name in names}
    original: dict[str, list[Mapping[str, Attribution]]] = {}
    correlations: dict[str, dict[str, dict[str, Estimate]]] = {method: {} for method in methods}
    for step, changed in progress(randomised(model, groups.seed), "attributions of randomised models", "model"):
        for method in methods:
            attributions = attribute(changed, texts, states=states, method=method, options=options)
            if step == ORIGINAL:
                original[method] = attributions
                continue
            values = [
                rank_correlation(
                    original[method][item.text_index][item.concept].scores,
                    attributions[item.text_index][item.concept].scores,
                )
                for item in items
            ]
            correlations[method][step] = mean_by_concept(np.array(values), groups)
    return correlations


@torch.no_grad()
def _shuffle(part: nn.Module, done: set[int], seed: int) -> None:
    """Shuffle the values of every parameter that is not shuffled yet, and add it to `done`."""
    for name, parameter in part.named_parameters():
        if id(parameter) not in done:
            done.add(id(parameter))
            order = np.random.default_rng([seed, len(done), crc32(name.encode())]).permutation(parameter.numel())
            flat = parameter.detach().flatten().clone()
            parameter.copy_(flat[torch.from_numpy(order).to(flat.device)].view_as(parameter))
