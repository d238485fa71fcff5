"""What protects the readings that are right: how every bit would move some hundreds of them.

For each of these texts r the log-odds z_r of its gold state and their gradient at the masked weights are kept (as
factors, so that the effect of any bit on any text can be had). A set of flips moves z_r by d_r, to first order; it is
charged

    1/2 sum_r a_r d_r^2,   a_r = exp(-z_r / T) / sum_r' exp(-z_r' / T):

a reading near its threshold counts most, but T is large: protected texts stand for others, which move as they do and
may be nearer to theirs. So moves are charged on either side and however much room a text has. Effects of many flips
that cancel out in every text cost nothing, which no statistic of each bit alone can tell.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sparsecbm.intervene.patches.bits import concept_index, mask_checksum
from sparsecbm.intervene.patches.factors import Stored, compute_factors, log_odds
from sparsecbm.intervene.reference import Reference
from sparsecbm.model.cbm import ConceptBottleneck

TEMPERATURE = 2.0  # T, in log-odds


@dataclass(frozen=True, eq=False)
class Protection:
    """Right readings of one concept, and the first-order effects of all bits on them.

    Attributes:
        texts: those whose reading is nearest to tipping over
        states: how they are read, rightly, [texts]
        groups: all groups that they were chosen from; a patch that they protect is billed on others
        odds: log-odds of their gold state, [texts]
        factors: by masked layer, of a few texts each, in their order
        mask: checksum of the concept's mask under which the effects were taken
    """

    concept: str
    texts: tuple[str, ...]
    states: tuple[str, ...]
    groups: frozenset[str]
    odds: Tensor
    factors: dict[str, tuple[Stored, ...]]
    mask: str

    @property
    def weights(self) -> Tensor:
        """a_r, [texts]; they add up to 1."""
        return torch.softmax(-self.odds / TEMPERATURE, 0)

    def gradients_at(self, layer: str, positions: Tensor) -> Tensor:
        """Gradient of each text's log-odds at some of a layer's masked weights, [texts, positions]."""
        return torch.cat([part.at(positions) for part in self.factors[layer]])

    @property
    def megabytes(self) -> float:
        """Memory that the factors take."""
        return sum(part.bytes for parts in self.factors.values() for part in parts) / 2**20


def protect(
    model: ConceptBottleneck, reference: Reference, concept: str, texts: int = 600, batch_size: int = 16
) -> Protection | None:
    """Read the right readings of a concept that are nearest to tipping over; None if nothing is read rightly.

    Args:
        reference: as this model reads it
        texts: how many of its texts, at most; a text costs its tokens times the widths of all masked layers

    Raises:
        InterventionError: the concept is unknown, or another model read the reference.
    """
    concept_index(model, concept)
    reference.check(model)
    rows = np.flatnonzero(reference.right(concept))
    gold = torch.from_numpy(reference.gold[concept][rows])
    odds = log_odds(torch.from_numpy(reference.logits[concept][rows]), gold)
    nearest = odds.argsort(stable=True)[:texts]
    if not len(nearest):
        return None
    chosen = reference.texts[rows[nearest.numpy()]].tolist()
    order = sorted(range(len(chosen)), key=lambda i: len(chosen[i]))
    parts = []
    for start in range(0, len(order), batch_size):
        members = order[start : start + batch_size]
        read = compute_factors(model, concept, [chosen[i] for i in members], gold[nearest[members]])[1]
        parts.append({layer: factors.stored() for layer, factors in read.items()})
    return Protection(
        concept,
        tuple(chosen[i] for i in order),
        tuple(model.concept_set[concept].states[int(gold[nearest[i]])] for i in order),
        frozenset(reference.groups.tolist()),
        odds[nearest[order]],
        {layer: tuple(part[layer] for part in parts) for layer in parts[0]},
        mask_checksum(model.masks[concept]),
    )
