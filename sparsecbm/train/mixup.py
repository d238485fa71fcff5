"""MixUp of pooled texts, concept targets and labels, by one share for all three.

Concept-level MixUp (Tan et al., C3M, arXiv 2311.05014, section 4.2) keeps a model from learning single wrong labels by
heart: h = l h_i + (1 - l) h_j, and the same for c and y, with l ~ Beta(alpha, alpha) (Zhang et al., arXiv 1710.09412).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsecbm.model.cbm import ConceptBottleneck, Output
from sparsecbm.train.examples import Batch


@dataclass(frozen=True)
class Mixture:
    """Which text is mixed into each text of a batch, and by how much."""

    partner: Tensor  # [batch], int64
    share: float  # l, of the text itself

    def mix(self, values: Tensor) -> Tensor:
        """l v_i + (1 - l) v_j of rows, [batch, ...]."""
        return self.share * values + (1 - self.share) * values[self.partner]


def draw_mixture(texts: int, alpha: float) -> Mixture:
    """A share from Beta(alpha, alpha) and a random order of the texts, by torch's random state of the CPU."""
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    return Mixture(torch.randperm(texts), share)


def mixed_forward(model: ConceptBottleneck, batch: Batch, mixture: Mixture) -> tuple[Output, Batch]:
    """The logits of mixed pooled texts of a dense model with concepts, and the batch with mixed targets.

    Targets keep their weights: a text whose state is unknown adds nothing to its partner's target.
    """
    pooled = {name: mixture.mix(texts) for name, texts in model.represent(batch.ids, batch.mask).items()}
    concepts = {name: mixture.mix(target) for name, target in batch.concepts.items()}
    return model.output(model.concept_heads(pooled)), Batch(batch.ids, batch.mask, mixture.mix(batch.label), concepts)
