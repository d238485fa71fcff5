"""Learnt scores of all layers and concepts. A mask keeps the weights with the highest scores."""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from sparsecbm.base.params import Prune
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import Leaves, MaskedLinear
from sparsecbm.pruning.event import LayerScore
from sparsecbm.pruning.score_forms import LayerScores, start_scores


class MaskScores:
    """Scores that learn straight through the masks, dL/ds_k = dL/d(w m_k) * w (Sanh et al., arXiv 2005.07683).

    So the score of a dropped weight learns, too, and the weight can come back.

    Args:
        layers: (layer, concept index) -> the scores of that layer for that concept
    """

    def __init__(self, layers: Mapping[tuple[str, int], LayerScores]):
        self.layers = layers

    @classmethod
    def start(cls, model: ConceptBottleneck, saliencies: Iterable[LayerScore], params: Prune, seed: int) -> Self:
        """Start from the ranks of a saliency within each layer, from 0 to 1.

        Raises:
            ConfigError: the rank of low-rank scores is larger than a layer's width.
        """
        forms = {}
        for score in saliencies:
            layer_seed = seed + zlib.crc32(f"{score.concept}/{score.layer}".encode())
            key = score.layer, model.concept_set.names.index(score.concept)
            forms[key] = start_scores(score.values.to(model.device), params, layer_seed)
        return cls(forms)

    def parameters(self) -> list[nn.Parameter]:
        """What is learnt."""
        return list(self.state().values())

    def by_concept(self, concepts: Sequence[str]) -> dict[str, Mapping[str, Tensor]]:
        """Concept -> layer -> scores, on the CPU; those of a layer are made when they are asked for."""
        forms: dict[str, dict[str, LayerScores]] = {name: {} for name in concepts}
        for (layer, concept_index), form in self.layers.items():
            forms[concepts[concept_index]][layer] = form
        return {name: _Values(by_layer) for name, by_layer in forms.items()}

    def add_gradients(self, layers: Mapping[str, MaskedLinear], leaves: Leaves) -> None:
        """Pass the gradients of masked weights on: straight through to the scores, and masked to trained weights.

        Args:
            layers: name -> layer with masks
            leaves: (layer, concept index) -> the masked weight with its gradient, dL/d(w m_k)
        """
        for (layer, concept_index), leaf in leaves.items():
            module = layers[layer]
            if leaf.grad is None:  # the loss does not depend on this weight
                continue
            self.layers[layer, concept_index].add_gradient(leaf.grad * module.weight.detach())
            if module.weight.requires_grad:
                masked = leaf.grad * module.mask(concept_index)
                module.weight.grad = masked if module.weight.grad is None else module.weight.grad + masked

    def state(self) -> dict[str, nn.Parameter]:
        """What is learnt, by name, for a checkpoint. The start is computed again when a training is resumed."""
        return {
            f"{concept_index}.{layer}.{name}": parameter
            for (layer, concept_index), form in self.layers.items()
            for name, parameter in form.parameters.items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Inverse of `state`."""
        with torch.no_grad():
            for name, parameter in self.state().items():
                parameter.copy_(state[name])


class _Values(Mapping[str, Tensor]):
    """Layer -> scores, made when they are asked for: all together they may take more memory than the model."""

    def __init__(self, forms: Mapping[str, LayerScores]):
        self._forms = forms

    def __getitem__(self, layer: str) -> Tensor:
        return self._forms[layer].values().cpu()

    def __iter__(self) -> Iterator[str]:
        return iter(self._forms)

    def __len__(self) -> int:
        return len(self._forms)
