"""Protection of correct predictions: how each bit would move some hundreds of them.

For each protected text r, the log-odds z_r of its gold state and their gradient at the masked weights are kept as
factors, which give the effect of any bit on any text. A set of flips moves z_r by d_r, to first order. Its penalty is

    1/2 sum_r a_r d_r^2,   a_r = exp(-z_r / T) / sum_r' exp(-z_r' / T).

A text close to the decision boundary counts most. T is large, because protected texts represent unseen texts, which
move with them and may be closer to the boundary. So movement in both directions is penalised, also where a text is far
from the boundary. Flips whose effects cancel in every text cost nothing; no statistic of single bits can show this.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sparsecbm.intervene.patches.bits import concept_index
from sparsecbm.intervene.patches.effects import Effects, SomeFactors
from sparsecbm.intervene.patches.factors import log_odds
from sparsecbm.intervene.reference import Reference
from sparsecbm.model.cbm import ConceptBottleneck

TEMPERATURE = 2.0  # T, in log-odds


@dataclass(frozen=True, eq=False)
class Protection:
    """Correct predictions of one concept, and the first-order effects of all bits on them.

    Attributes:
        texts: those whose predictions are closest to the decision boundary
        states: their correctly predicted states, [texts]
        groups: all groups that they were chosen from; side effects of a protected patch are measured on others
        gold: index of their gold state, [texts]
        logits: of the concept, [texts, states]
        pooled: [texts, hidden], as the concept's subnetwork pools them
        factors: by masked layer, one item for each batch of texts, in their order
        mask: checksum of the concept's mask under which the effects were computed
    """

    concept: str
    texts: tuple[str, ...]
    states: tuple[str, ...]
    groups: frozenset[str]
    gold: Tensor
    logits: Tensor
    pooled: Tensor
    factors: dict[str, tuple[SomeFactors, ...]]
    mask: str

    @property
    def gold_log_odds(self) -> Tensor:
        """Log-odds of their gold state, [texts]."""
        return log_odds(self.logits, self.gold)

    @property
    def weights(self) -> Tensor:
        """a_r, [texts]; they add up to 1."""
        return torch.softmax(-self.gold_log_odds / TEMPERATURE, 0)

    def gradients_at(self, layer: str, positions: Tensor) -> Tensor:
        """Return the gradient of each text's log-odds at some of a layer's masked weights, [texts, positions]."""
        return torch.cat([part.at(positions) for part in self.factors[layer]])

    @property
    def megabytes(self) -> float:
        """Memory of the factors, in MiB."""
        return sum(part.factors.bytes for parts in self.factors.values() for part in parts) / 2**20


def protect(
    model: ConceptBottleneck, reference: Reference, concept: str, texts: int = 600, effects: Effects | None = None
) -> Protection | None:
    """Protect the correct predictions of a concept that are closest to the decision boundary.

    Args:
        reference: predictions of this model
        texts: how many texts, at most; memory grows with their tokens and the widths of all masked layers
        effects: of this concept's bits in this model; texts that other protections share with this one are in it

    Returns:
        None if no text of the reference is predicted correctly

    Raises:
        InterventionError: the concept is unknown, or the reference comes from another model.
    """
    concept_index(model, concept)
    reference.check_model(model)
    rows = np.flatnonzero(reference.correct(concept))
    gold, logits = (torch.from_numpy(values[concept][rows]) for values in (reference.gold, reference.logits))
    closest = log_odds(logits, gold).argsort(stable=True)[:texts]
    if not len(closest):
        return None
    effects = effects or Effects(model, concept)
    chosen_texts, chosen_gold = reference.texts[rows[closest.numpy()]].tolist(), gold[closest]
    order = effects.compute(chosen_texts, chosen_gold)
    protected_texts, closest = [chosen_texts[i] for i in order], closest[order]
    return Protection(
        concept,
        tuple(protected_texts),
        tuple(model.concept_set[concept].states[int(state)] for state in gold[closest]),
        frozenset(reference.groups.tolist()),
        gold[closest],
        logits[closest],
        torch.from_numpy(reference.pooled[concept][rows])[closest],
        effects.factors(protected_texts, gold[closest]),
        effects.mask,
    )
