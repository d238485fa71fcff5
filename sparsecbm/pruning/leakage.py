"""A penalty on what a concept's subnetwork tells about other concepts. It keeps the masks of concepts apart."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sparsecbm.model.cbm import ConceptBottleneck


def state_priors(targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Share of each state among the texts with a known state, by concept, [states]; no share is 0.

    Args:
        targets: concept -> [texts, states]
    """
    priors = {}
    for name, target in targets.items():
        shares = target.sum(0) + 1e-6
        priors[name] = shares / shares.sum()
    return priors


def leakage_penalty(model: ConceptBottleneck, pooled: Mapping[str, Tensor], priors: Mapping[str, Tensor]) -> Tensor:
    """Mean KL(prior_i || prediction of concept i's head under m_k) over all i other than k.

    Under the mask of concept k, the heads of other concepts should predict their priors. The heads get no gradient.

    Args:
        pooled: concept k -> [texts, hidden], pooled under m_k
        priors: concept i -> [states]

    Returns:
        A scalar; 0, with a gradient of 0, if there is one concept only.
    """
    terms = []
    for name, texts in pooled.items():
        for other, prior in priors.items():
            if other != name:
                head = model.concept_heads.head(other)
                logits = nn.functional.linear(texts, head.weight.detach(), head.bias.detach())
                prior = prior.to(logits.device)
                terms.append((prior * (prior.log() - logits.float().log_softmax(-1))).sum(-1).mean())
    return torch.stack(terms).mean() if terms else next(iter(pooled.values())).sum() * 0.0
