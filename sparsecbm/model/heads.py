"""From pooled texts to concepts, and from concepts, and nothing else, to the label.

Concept head of concept k: logits_k = H_k(pool(h_k)); activation c_k; label u = sum_k V_k c_k + b
(Koh et al., arXiv 2007.04612; Tan et al., arXiv 2312.15033, section 3).
"""

import torch
from torch import Tensor, nn

from sparsecbm.base.concepts import ConceptSet


def activate(logits: Tensor, kind: str) -> Tensor:
    """Concept activation c_k.

    Args:
        logits: [..., states]
        kind: soft (softmax) | logits (as they are) | hard (one-hot of the argmax; the gradient is the
            softmax's, straight through)

    Returns:
        [..., states]
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


class ConceptHeads(nn.Module):
    """One linear head a concept, each reading a pooled text of its own."""

    def __init__(self, concept_set: ConceptSet, width: int, dropout: float):
        super().__init__()
        self.names = concept_set.names
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleList(nn.Linear(width, len(concept)) for concept in concept_set)

    def head(self, name: str) -> nn.Linear:
        """The linear head of one concept."""
        return self.heads[self.names.index(name)]

    def forward(self, pooled: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits of each given concept, [batch, states], from its pooled text, [batch, hidden]."""
        return {name: self.head(name)(self.dropout(values)) for name, values in pooled.items()}


class LabelHead(nn.Module):
    """The linear map u = sum_k V_k c_k + b. It sees the K activations and nothing else.

    It starts at zero: then the label sends no gradient to the concepts before they mean something, and none of
    them is bent into a private channel for the label.
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
        return self.linear(torch.cat([activations[name] for name in self.names], dim=-1))

    def V(self, name: str) -> Tensor:
        """Weights of one concept, [classes, states]."""
        return self.linear.weight.split(self.widths, dim=1)[self.names.index(name)]

    def set(self, weight: Tensor, bias: Tensor) -> None:
        """Replace V ([classes, sum of states]) and b ([classes]) by fitted values."""
        with torch.no_grad():
            self.linear.weight.copy_(weight)
            self.linear.bias.copy_(bias)
