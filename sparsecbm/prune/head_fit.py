"""Concept heads fitted to their finished subnetworks.

While masks change, heads run after them: at the end a subnetwork lets through more than its head reads. Heads are
linear, so their best weights on the pooled training texts can simply be found, by the loss that a dense model is
trained by, of the label and the concepts together. What they aim at may be mixed with the dense model's reading: its
doubts tell the label more than bare states do, and its mistakes hold the concepts back.

The penalty is strong. Heads that are held weakly lean on whatever details their mask lets through, under random masks
as well, and then what tells one subnetwork from another is the heads and not the choice of weights.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.heads import activate
from sparsecbm.train.examples import Examples
from sparsecbm.train.loss import cross_entropy

C = 0.01  # inverse strength of the L2 penalty on standardised inputs, as that of the probes
LABEL_C = 10.0  # the same for the label head, whose few inputs need little
ITERATIONS = 400  # at 100 the fit still moves by half a point of the label


def refit_concept_heads(model: ConceptBottleneck, data: Examples, pooled: dict[str, Tensor], gamma: float) -> None:
    """Replace the concept heads by those that minimise the loss of the model's mode plus an L2 penalty.

    In mode `joint` CE(u, y) + gamma * mean_k CE(logits_k, c*_k), with a label head of its own that is thrown away: the
    model's is fitted last, as after every training. In other modes each concept by itself.

    Args:
        data: whose `concept_targets` and `label_target` are aimed at
        pooled: concept -> [texts, hidden], as `pooled_under_masks` gives them
        gamma: weight of the mean concept's loss against the label's, in mode `joint`
    """
    means = {name: texts.double().mean(0) for name, texts in pooled.items()}
    scales = {name: texts.double().std(0).clamp(min=1e-6) for name, texts in pooled.items()}
    inputs = {name: (texts.double() - means[name]) / scales[name] for name, texts in pooled.items()}
    weights = {n: _zeros(data.concept_targets[n].shape[1], texts.shape[1]) for n, texts in inputs.items()}
    biases = {name: _zeros(len(weight)) for name, weight in weights.items()}
    states, classes = sum(map(len, weights.values())), data.label_target.shape[1]
    V, b = _zeros(classes, states), _zeros(classes)
    joint = model.settings.mode == "joint"
    # A hard activation has no gradient of its own; the soft one is what it is taken from.
    kind = "logits" if model.settings.activation == "logits" else "soft"

    def loss() -> Tensor:
        logits = {name: texts @ weights[name].T + biases[name] for name, texts in inputs.items()}
        parts = [cross_entropy(logits[n], data.concept_targets[n]) + _penalty(weights[n], C, len(data)) for n in logits]
        total = gamma * torch.stack(parts).mean()
        if joint:
            label = torch.cat([activate(values, kind) for values in logits.values()], dim=-1) @ V.T + b
            total = total + cross_entropy(label, data.label_target) + _penalty(V, LABEL_C, len(data))
        return total

    _minimise(loss, [*weights.values(), *biases.values(), *([V, b] if joint else [])])
    for name, weight in weights.items():
        head, raw = model.concept_heads.head(name), weight.detach() / scales[name]
        with torch.no_grad():
            head.weight.copy_(raw)
            head.bias.copy_(biases[name] - raw @ means[name])


def _zeros(*shape: int) -> Tensor:
    return torch.zeros(*shape, dtype=torch.float64, requires_grad=True)


def _penalty(weight: Tensor, inverse_strength: float, texts: int) -> Tensor:
    return weight.square().sum() / (2 * inverse_strength * texts)


def _minimise(loss, parameters: Iterable[Tensor]) -> None:
    """L-BFGS from where the parameters are."""
    optimizer = torch.optim.LBFGS(list(parameters), max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
