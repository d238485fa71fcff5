"""Learnt scores: one for every weight and concept. A mask keeps the weights with the highest scores."""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import Leaves, MaskedLinear
from sparsecbm.pruning.contrast import rank_scores
from sparsecbm.pruning.event import Scores


class MaskScores:
    """Scores that learn straight through the masks, dL/ds_k = dL/d(w m_k) * w (Sanh et al., arXiv 2005.07683).

    So the score of a dropped weight learns, too, and the weight can come back.

    Args:
        parameters: (layer, concept index) -> [weight's shape]
    """

    def __init__(self, parameters: dict[tuple[str, int], nn.Parameter]):
        self.parameters = parameters

    @classmethod
    def start(cls, model: ConceptBottleneck, saliencies: Scores) -> Self:
        """Start from the ranks of a saliency within each layer, from 0 to 1."""
        return cls(
            {
                (layer, concept_index): nn.Parameter(rank_scores(values.to(model.device)))
                for concept_index, name in enumerate(model.concept_set.names)
                for layer, values in saliencies[name].items()
            }
        )

    def by_concept(self, concepts: Sequence[str]) -> dict[str, dict[str, Tensor]]:
        """Concept -> layer -> scores, on the CPU."""
        scores: dict[str, dict[str, Tensor]] = {name: {} for name in concepts}
        for (layer, concept_index), score in self.parameters.items():
            scores[concepts[concept_index]][layer] = score.detach().cpu()
        return scores

    def add_gradients(self, layers: Mapping[str, MaskedLinear], leaves: Leaves) -> None:
        """Pass the gradients of masked weights on: straight through to the scores, and masked to trained weights.

        Args:
            layers: name -> layer with masks
            leaves: (layer, concept index) -> the masked weight with its gradient, dL/d(w m_k)
        """
        for (layer, concept_index), leaf in leaves.items():
            module, score = layers[layer], self.parameters[layer, concept_index]
            if leaf.grad is None:  # the loss does not depend on this weight
                continue
            change = leaf.grad * module.weight.detach()
            score.grad = change if score.grad is None else score.grad + change
            if module.weight.requires_grad:
                masked = leaf.grad * module.mask(concept_index)
                module.weight.grad = masked if module.weight.grad is None else module.weight.grad + masked

    def state(self) -> dict[str, Tensor]:
        """The scores by name, for a checkpoint."""
        return {f"{concept_index}.{layer}": score for (layer, concept_index), score in self.parameters.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Inverse of `state`."""
        with torch.no_grad():
            for (layer, concept_index), score in self.parameters.items():
                score.copy_(state[f"{concept_index}.{layer}"])
