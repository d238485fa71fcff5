"""Concept heads fitted to their finished subnetworks.

While masks change, heads run after them: at the end a subnetwork lets through more than its head reads. The head is
linear, so its best weights on the pooled training texts can simply be found. Masks are chosen by what annotators say;
heads aim at what the dense model reads, since its doubts tell the label more than bare states do.
"""

import torch
from torch import Tensor, nn

from sparsecbm.model.cbm import SparseCBM
from sparsecbm.train.examples import Examples
from sparsecbm.train.loss import cross_entropy

C = 1.0  # inverse strength of the L2 penalty on standardised inputs
ITERATIONS = 100


def refit_concept_heads(model: SparseCBM, data: Examples, pooled: dict[str, Tensor]) -> None:
    """Replace each concept head by the minimum of cross-entropy plus L2 penalty on its pooled texts.

    Args:
        data: whose `concept_targets` the heads aim at
        pooled: concept -> [texts, hidden], as `pooled_under_masks` gives them
    """
    for name, texts in pooled.items():
        weight, bias = _fitted(texts, data.concept_targets[name])
        head = model.concept_heads.head(name)
        with torch.no_grad():
            head.weight.copy_(weight)
            head.bias.copy_(bias)


def _fitted(texts: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [states, hidden] and bias [states] for inputs as they are, fitted on standardised ones in float64."""
    texts, target = texts.double(), target.double()
    mean, scale = texts.mean(0), texts.std(0).clamp(min=1e-6)
    inputs = (texts - mean) / scale
    head = nn.Linear(inputs.shape[1], target.shape[1]).double()
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=ITERATIONS, line_search_fn="strong_wolfe")
    strength = 1 / (C * len(texts))

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(head(inputs), target) + strength / 2 * head.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    weight = head.weight.detach() / scale
    return weight, head.bias.detach() - weight @ mean
