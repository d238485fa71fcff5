"""From pooled texts to concepts, and from concepts alone to the label.

Concept head of concept k: logits_k = H_k(pool(h_k)); activation c_k; label u = sum_k V_k c_k + b
(Koh et al., arXiv 2007.04612; Tan et al., arXiv 2312.15033, section 3).

Names of activations, used throughout:
    soft    the predicted probabilities, softmax(logits_k)
    hard    the predicted state, one-hot
    gold    the annotated state, one-hot
    logits  the logits as they are; only a model of this activation kind uses them
Label heads have two of these names. The `soft` head is `model.label_head`, which is trained on the model's own
activations. The `hard` head is `model.hard_head`, which is fitted on hard activations.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.model.in_context import Owner, changes_of

HEADS = ("soft", "hard")


def activate(logits: Tensor, kind: str) -> Tensor:
    """Concept activation c_k.

    Args:
        logits: [..., states]
        kind: soft | logits | hard; the gradient of hard activations is that of the soft ones (straight through)

    Returns:
        [..., states]

    Raises:
        ValueError: unknown kind; names the choices.
    """
    if kind == "logits":
        return logits
    soft = logits.softmax(-1)
    if kind == "soft":
        return soft
    if kind == "hard":
        hard = torch.zeros_like(soft).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
        return hard + soft - soft.detach()
    raise ValueError(f"unknown activation {kind!r}; choices: soft, logits, hard")


def concatenated_activations(concept_logits: Mapping[str, np.ndarray], kind: str) -> np.ndarray:
    """Activations of all concepts side by side, in the order of the mapping, [texts, sum of states].

    Args:
        concept_logits: concept -> [texts, states], as in `Logits.concepts`
        kind: as in `activate`
    """
    activations = [activate(torch.from_numpy(logits), kind) for logits in concept_logits.values()]
    return torch.cat(activations, dim=-1).numpy()


class ConceptHeads(nn.Module):
    """One linear head for each concept, which predicts it from the pooled text of its own subnetwork."""

    def __init__(self, concept_set: ConceptSet, width: int, dropout: float, owner: Owner):
        super().__init__()
        self.owner = owner  # the model whose edits in this context replace logits
        self.names = concept_set.names
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleList(nn.Linear(width, len(concept)) for concept in concept_set)

    def head(self, name: str) -> nn.Linear:
        """The linear head of one concept."""
        head = self.heads[self.names.index(name)]
        assert isinstance(head, nn.Linear)
        return head

    def forward(self, pooled: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits of each given concept, [batch, states], from its pooled text, [batch, hidden]; edited in blocks."""
        logits = {name: self.head(name)(self.dropout(values)) for name, values in pooled.items()}
        return changes_of(self.owner).edit(logits)


class LabelHead(nn.Module):
    """The linear map u = sum_k V_k c_k + b. It sees the K activations and nothing else.

    It starts at zero, so at first the label sends no gradient to the concepts. Otherwise a concept could become a
    private channel to the label before it has learnt its own meaning.
    """

    def __init__(self, concept_set: ConceptSet):
        super().__init__()
        self.names = concept_set.names
        self.widths = [len(concept) for concept in concept_set]
        self.linear = nn.Linear(sum(self.widths), len(concept_set.label))
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, activations: dict[str, Tensor]) -> Tensor:
        """Label logits, [batch, classes], from activations, each [batch, states]."""
        logits: Tensor = self.linear(torch.cat([activations[name] for name in self.names], dim=-1))
        return logits

    def V(self, name: str) -> Tensor:
        """Weights of one concept, [classes, states]."""
        weights: tuple[Tensor, ...] = self.linear.weight.split(self.widths, dim=1)
        return weights[self.names.index(name)]

    def set(self, weight: Tensor, bias: Tensor) -> None:
        """Replace V ([classes, sum of states]) and b ([classes]) by fitted values."""
        with torch.no_grad():
            self.linear.weight.copy_(weight)
            self.linear.bias.copy_(bias)


def apply_label_head(head: LabelHead, activations: np.ndarray) -> np.ndarray:
    """Label logits, [texts, classes], from activations of all concepts side by side, [texts, sum of states]."""
    weight, bias = head.linear.weight.detach().cpu().numpy(), head.linear.bias.detach().cpu().numpy()
    logits: np.ndarray = activations @ weight.T + bias
    return logits
