"""Do attributions depend on the model at all? They must fall apart when it is randomised.

After Adebayo et al. (arXiv 1810.03292): weights are randomised from the top down, one part after another, and what was
randomised stays so. Beside this the masks alone are randomised, over weights that stay. How much of the order of words
is left is the correlation of ranks with the original attributions, for the states that were read originally.

Randomised means shuffled: every tensor keeps its values, and every layer of masks its density and its overlaps.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from zlib import crc32

import numpy as np
import torch
from torch import nn

from sparsecbm.evaluate.evidence import Estimate
from sparsecbm.evaluate.faithfulness.aopc import Item
from sparsecbm.evaluate.faithfulness.rank_agreement import mean_by_concept, rank_correlation
from sparsecbm.evaluate.pooled import under
from sparsecbm.explain.attribution import Attribution, attribute
from sparsecbm.explain.methods import AttributionOptions
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import find_blocks
from sparsecbm.prune.random_control import matched_random

ORIGINAL, MASKS, HEADS, REST = "original", "masks", "heads", "embeddings"


def randomised(model: ConceptBottleneck, seed: int) -> Iterator[tuple[str, ConceptBottleneck]]:
    """The model as it is, under random masks, and then with ever more of its weights randomised, with their names.

    `masks` (if it has any), `heads`, `block N` from the last to the first, `embeddings` (all that is left). Each model
    is good until the next one is asked for; the given one stays as it is.
    """
    yield ORIGINAL, model
    if model.masks is not None:
        yield MASKS, under(model, matched_random(model.masks, seed))
    changed = copy.deepcopy(model)
    _, members = find_blocks(changed.backbone)
    parts: list[tuple[str, nn.Module]] = [(HEADS, changed.concept_heads)]
    parts += [(f"block {number}", members[number]) for number in reversed(range(len(members)))]
    done: set[int] = set()
    for name, part in [*parts, (REST, changed.backbone)]:
        _shuffle(part, done, seed)
        yield name, changed


def sanity(
    model: ConceptBottleneck,
    texts: Sequence[str],
    items: Sequence[Item],
    clusters: Sequence[str],
    methods: Sequence[str],
    options: AttributionOptions,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Correlation of ranks with the original attributions: method -> what is randomised -> by concept, and `mean`.

    Args:
        texts: those that the items count
        clusters: of each item
    """
    names = model.concept_set.names
    read = model.logits(texts).concepts
    states = {name: [model.concept_set[name].states[place] for place in read[name].argmax(1)] for name in names}
    first: dict[str, list[Mapping[str, Attribution]]] = {}
    found: dict[str, dict[str, dict[str, Estimate]]] = {method: {} for method in methods}
    for step, changed in randomised(model, seed):
        for method in methods:
            explained = attribute(changed, texts, states=states, method=method, options=options)
            if step == ORIGINAL:
                first[method] = explained
                continue
            values = [
                rank_correlation(
                    first[method][item.number][item.concept].scores, explained[item.number][item.concept].scores
                )
                for item in items
            ]
            concepts = [item.concept for item in items]
            found[method][step] = mean_by_concept(np.array(values), concepts, clusters, resamples, seed)
    return found


@torch.no_grad()
def _shuffle(part: nn.Module, done: set[int], seed: int) -> None:
    """Shuffle the values of every parameter that was not shuffled before."""
    for name, parameter in part.named_parameters():
        if id(parameter) not in done:
            done.add(id(parameter))
            order = np.random.default_rng([seed, len(done), crc32(name.encode())]).permutation(parameter.numel())
            flat = parameter.detach().flatten().clone()
            parameter.copy_(flat[torch.from_numpy(order).to(flat.device)].view_as(parameter))
